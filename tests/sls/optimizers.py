"""Every optimizer of the package, for tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA

Make = Callable[[Any], LineSearch]

RATIO: dict[str, Any] = {"smoothing": "ratio", "beta3": 0.9, "growth": 2 ** (1 / 64)}
"""ALSALS' smoothing by ratio, with the constants meant for it."""

EVERY: list[tuple[str, Make]] = [
    ("SLS", lambda params: SLS(params, n_batches_per_epoch=10)),
    ("AdamSLS", AdamSLS),
    ("ALSALS", ALSALS),
    ("ALSALS.paper", ALSALS.paper),
    ("ALSALS-ratio", lambda params: ALSALS(params, **RATIO)),
    ("ALSALS-adaptive", lambda params: ALSALS(params, search="adaptive")),
    ("SaLSA", SaLSA),
    ("SaLSA.paper", SaLSA.paper),
    ("SaLSA-sgd", lambda params: SaLSA(params, direction="sgd")),
]

each_optimizer = pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make in EVERY]
)


def start_at(optimizer: LineSearch, init_step: float) -> LineSearch:
    """The optimizer with another first step; one far too large forces many trials."""
    optimizer.param_groups[0]["init_step"] = init_step
    return optimizer
