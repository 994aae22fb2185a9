"""Every optimizer of the package, for tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sls import ALSALS, PLASLS, SLS, AdamSLS, LineSearch, PeakSLS, SaLSA

Make = Callable[[Any], Any]

RATIO: dict[str, Any] = {"smoothing": "ratio", "beta3": 0.9, "growth": 2 ** (1 / 64)}
"""ALSALS' smoothing by ratio, with the constants meant for it."""


def in_two_units(params: Any) -> Any:
    """A flat list of different parameters as two units; any other form as it is."""
    params = list(params)
    flat = len(params) > 1 and all(isinstance(param, Tensor) for param in params)
    flat = flat and len(set(params)) == len(params)
    return [params[:1], params[1:]] if flat else params


OWN_SEARCHES: list[tuple[str, Make]] = [
    ("SLS", lambda params: SLS(params, n_batches_per_epoch=10)),
    ("AdamSLS", AdamSLS),
    ("PLASLS", lambda params: PLASLS(in_two_units(params))),
    ("ALSALS", ALSALS),
    ("ALSALS.paper", ALSALS.paper),
    ("ALSALS-ratio", lambda params: ALSALS(params, **RATIO)),
    ("ALSALS-adaptive", lambda params: ALSALS(params, search="adaptive")),
    ("SaLSA", SaLSA),
    ("SaLSA.paper", SaLSA.paper),
    ("SaLSA-sgd", lambda params: SaLSA(params, direction="sgd")),
]
OWN_PEAKS: list[tuple[str, Make]] = [
    ("PeakSLS", PeakSLS),
    ("PeakSLS-sgd", lambda params: PeakSLS(params, direction="sgd")),
    ("PeakSLS-averaged", lambda params: PeakSLS(params, averaging=True)),
]
OWN = [*OWN_SEARCHES, *OWN_PEAKS]
"""Those that have a direction of their own, and its settings in their groups."""


def momentum(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


LINE_SEARCHES: list[tuple[str, Make]] = [
    *OWN_SEARCHES,
    ("ALSALS-around", lambda params: ALSALS.around(torch.optim.Adam(params))),
]
PEAKS: list[tuple[str, Make]] = [
    *OWN_PEAKS,
    ("PeakSLS-around", lambda params: PeakSLS.around(momentum(params))),
]
EVERY = [*LINE_SEARCHES, *PEAKS]


def each(makers: list[tuple[str, Make]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in makers])


each_optimizer = each(EVERY)
each_own = each(OWN)
each_search = each(LINE_SEARCHES)
"""Those that try steps on the mini-batch itself."""
each_peak = each(PEAKS)


def start_at(optimizer: LineSearch, init_step: float) -> LineSearch:
    """The optimizer with another first step; one far too large forces many trials."""
    optimizer.param_groups[0]["init_step"] = init_step
    return optimizer
