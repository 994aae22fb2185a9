"""Warnings of an optimizer, once each: it does not move; the loss does not repeat."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from sls.arithmetic import read
from sls.closure import Evaluation
from sls.evidence import repeats
from sls.record import Ended

REFUSED_IN_A_ROW = 10
"""So many steps in a row without a move give a warning."""

_USER = 6
"""From the functions here to the user's line: `Hints`, `step`, `never_compiled`, torch's hook."""


class Hints:
    """The warnings of one optimizer, each given once; not part of the state that is saved."""

    def __init__(self, optimizer: str):
        self._optimizer = optimizer
        self._refused = 0
        self._warned = False
        self._checked = False

    def see(self, record: Ended) -> None:
        """Warn, once, after `REFUSED_IN_A_ROW` steps in a row that moved nothing."""
        self._refused = 0 if record.status.moved else self._refused + 1
        if self._refused < REFUSED_IN_A_ROW or self._warned:
            return
        self._warned = True
        seen = ", ".join(
            f"{name} {getattr(record, name):.4g}"
            for name in ("loss", "slope", "step_size")
            if getattr(record, name, None) is not None
        )
        warnings.warn(
            f"{self._optimizer}: {self._refused} steps in a row moved nothing; "
            f"the last one: {record.status.value} ({seen})",
            UserWarning,
            stacklevel=_USER,
        )

    def check_that_the_loss_repeats(self, evaluation: Evaluation, loss: Tensor) -> None:
        """Evaluate the mini-batch again, the first time that this is called; warn if it differs.

        Args:
            evaluation: the mini-batch's, with the parameters where `loss` was evaluated.
            loss: what it gave.
        """
        if self._checked:
            return
        self._checked = True
        first, again = read(loss, evaluation.loss())
        both_finite = math.isfinite(first) and math.isfinite(again)
        if both_finite and not repeats(first, again, torch.finfo(loss.dtype).eps):
            warnings.warn(
                f"{self._optimizer}: the step has fallen below what a search can judge, and the "
                f"loss does not repeat: the same mini-batch with the same parameters gave "
                f"{first:.6g}, then {again:.6g}. Noise in the closure must come from torch's "
                "generators, which are replayed, or be the same in every call of a step",
                UserWarning,
                stacklevel=2,
            )
