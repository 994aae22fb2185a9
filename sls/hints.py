"""Warnings of an optimizer, once each: it does not move; the loss does not repeat; the model."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from sls.arithmetic import read
from sls.closure import Evaluation
from sls.evidence import repeats
from sls.random_numbers import other_generators
from sls.record import Ended

REFUSED_IN_A_ROW = 10
"""So many steps in a row without a move give a warning."""

FAR_LESS = 0.1
"""A decrease of at most so much of the promised one is not the curvature of the loss,"""
ALIKE = 0.05
"""where the shares of several trials differ by no more than this, relative to their size,"""
SPAN = 4.0
"""and their steps by at least this factor: the shares of true gradients go to one."""

_USER = 6
"""From the functions here to the user's line: `Hints`, `step`, `never_compiled`, torch's hook."""


NOT_REPEATED = """\
{optimizer}: the loss does not repeat: the same step with the same parameters gave {first:.6g}, \
then {again:.6g}. {cause}"""

DRAWN = """\
The closure must evaluate the same mini-batch in every call: draw it before the closure, and any \
random numbers that are not torch's."""

NOT_TORCHS = """\
The closure draws random numbers from {module}, which are not replayed: use torch's, or draw them \
before the closure."""

OTHER_LOSS = """\
{optimizer}: the gradients are not those of the loss: along them it falls by {share:.2g} of what \
they promise, at steps of any size, so that no search can end. Return the loss that backward() ran \
on, with its scale or its division by the number of micro-batches; `scaler.scale(loss)` goes with \
`step(closure, scaler=scaler)`."""

EVAL_MODE = """\
{optimizer}: the model is in eval mode in its first step: dropout is off, BatchNorm's statistics \
stay. Call model.train() before training. If that is meant, filter this warning."""

HALF = """\
{optimizer}: parameters are torch.float16, in which gradients below 6e-8 are 0 and steps below a \
thousandth of a parameter are lost: keep them in float32 and run the forward pass under \
torch.autocast(device, dtype=torch.float16), or use torch.bfloat16."""


class Hints:
    """The warnings of one optimizer, each given once; not part of the state that is saved.

    Attributes:
        in_doubt: whether something speaks against it that the loss repeats.
        looked: whether it was evaluated again, to see that.
    """

    def __init__(self, optimizer: str):
        self._optimizer = optimizer
        self._refused = 0
        self._warned = False
        self.looked = False
        self._told_of_other_loss = False
        self.in_doubt = False

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

    def check_model(self, modules: Iterable[nn.Module], params: Iterable[Tensor]) -> None:
        """Warn of a model that should not be trained as it is; in the first step of a run.

        Args:
            modules: those that the closure has called, and their submodules.
            params: the parameters.
        """
        if any(param.dtype == torch.float16 for param in params):
            text = HALF.format(optimizer=self._optimizer)
            warnings.warn(text, UserWarning, stacklevel=_USER)
        if _is_evaluating(modules):
            text = EVAL_MODE.format(optimizer=self._optimizer)
            warnings.warn(text, UserWarning, stacklevel=_USER)

    def see_failed_search(self, trials: Sequence[tuple[float, float]], least: float) -> None:
        """Warn, once, where the trials show that the gradients belong to another loss.

        Args:
            trials: the decrease that the slope promised, `η·p`, and the one found, of each trial.
            least: the smallest decrease that is not mere rounding.
        """
        if self._told_of_other_loss:
            return
        seen = [(promised, found) for promised, found in trials if promised > 0 and found > least]
        shares = {promised: found / promised for promised, found in seen}
        share = shares[min(shares)] if shares else math.inf
        alike = [promised for promised in shares if abs(shares[promised] / share - 1) <= ALIKE]
        if share <= FAR_LESS and max(alike) >= SPAN * min(alike):
            self._told_of_other_loss = True
            text = OTHER_LOSS.format(optimizer=self._optimizer, share=share)
            warnings.warn(text, UserWarning, stacklevel=2)

    def check_that_the_loss_repeats(self, evaluation: Evaluation, loss: Tensor) -> None:
        """Evaluate the mini-batch again, the first time that this is called; warn if it differs.

        Args:
            evaluation: the mini-batch's, with the parameters where `loss` was evaluated.
            loss: what it gave.
        """
        if self.looked:
            return
        self.looked = True
        before = _foreign_random_states()
        first, again = read(loss, evaluation.check())
        after = _foreign_random_states()
        both_finite = math.isfinite(first) and math.isfinite(again)
        if both_finite and not repeats(first, again, torch.finfo(loss.dtype).eps):
            drawn = " and ".join(name for name in before if before[name] != after[name])
            cause = NOT_TORCHS.format(module=drawn) if drawn else DRAWN
            names = {"optimizer": self._optimizer, "cause": cause}
            text = NOT_REPEATED.format(first=first, again=again, **names)
            warnings.warn(text, UserWarning, stacklevel=2)


def _is_evaluating(modules: Iterable[nn.Module]) -> bool:
    """Whether all modules are in eval mode, and one of them would be another in train mode."""
    modules = list(modules)
    return not any(module.training for module in modules) and any(map(_has_modes, modules))


def _has_modes(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd):
        return module.p > 0
    return isinstance(module, _BatchNorm) and module.track_running_stats


def _foreign_random_states() -> dict[str, str]:
    """The states of random generators that are not replayed, as text, by the name of the module."""
    return {
        name: repr(module.getstate() if module is random else module.get_state(legacy=False))
        for name, module in other_generators().items()
    }
