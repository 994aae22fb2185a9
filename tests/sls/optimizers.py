"""Every optimizer in every preset, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA

Maker = Callable[[Any], LineSearch]

EVERY: list[tuple[str, Maker]] = [
    ("SLS", lambda params: SLS(params, n_batches_per_epoch=10)),
    ("AdamSLS", AdamSLS),
    ("ALSALS", ALSALS),
    ("ALSALS.paper", ALSALS.paper),
    ("SaLSA", SaLSA),
    ("SaLSA.paper", SaLSA.paper),
    ("SaLSA-sgd", lambda params: SaLSA(params, direction="sgd")),
    ("ALSALS-adaptive", lambda params: ALSALS(params, search="adaptive")),
]
