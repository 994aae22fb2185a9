"""Writes to gradients and learning rates between two steps, which a step does not use.

Both are warned of once. The gradients that a step leaves are recognized, so that in right use no
value is looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from sls.arithmetic import local
from sls.frameworks import advice_on_gradients

LOOKS = 10
"""So often at most unknown gradients are looked at; each look is a synchronisation."""

DROPPED = """\
{optimizer}: there were gradients when step(closure) was called, and they are dropped: the step \
computes those of its closure's loss alone. {ways_out}"""

WAYS_OUT = """\
To accumulate over micro-batches, give the step all of them: \
step(sls.accumulate(loss_of, micro_batches)). To clip, use max_grad_norm=. If the gradients are \
not meant for this optimizer, call zero_grad() before the step."""

WRITTEN = """\
{optimizer}: lr of parameter group {number} was {written:.6g} and is now {now:.6g}, written by a \
scheduler or by hand; this changes nothing, the line search chooses the step. To anneal it, build \
{optimizer}(…, total_steps=…); for another schedule, build the scheduler on the base of \
{optimizer}.around(torch.optim.AdamW(…)). For a rate of its own, a parameter group has lr_scale."""

WRITTEN_AROUND = """\
{optimizer}: lr of parameter group {number} was {written:.6g} and is now {now:.6g}, written by a \
scheduler or by hand; this changes nothing, the line search chooses the step. Build the scheduler \
on {base}: it scales the step."""

_USER = 6
"""From the functions here to the user's line: this one, `step`, `never_compiled`, torch's hook."""


class BetweenSteps:
    """What a step has left to the next one; not part of the state that is saved.

    Args:
        optimizer: the optimizer's name, for messages.
    """

    def __init__(self, optimizer: str):
        self._optimizer = optimizer
        self._gradients: dict[int, tuple[ref[Tensor] | None, int]] = {}
        self._looks = LOOKS
        self._rates: list[float] = []
        self._warned_of_rates = False

    def note_rates(self, groups: Iterable[Mapping[str, Any]]) -> None:
        """Remember the learning rates as they are."""
        self._rates = [group["lr"] for group in groups]

    def note_gradients(self, params: Iterable[Tensor]) -> None:
        """Remember the gradients as they are; they are not kept alive."""
        self._gradients = {id(param): _mark(param.grad) for param in params}

    def check_rates(self, groups: Sequence[Mapping[str, Any]], base: str | None) -> None:
        """Warn, once, if a learning rate has been written.

        Args:
            groups: the parameter groups.
            base: the class of the optimizers that this one is built around, if it is.
        """
        if self._warned_of_rates:
            return
        for number, (group, written) in enumerate(zip(groups, self._rates, strict=False)):
            now = group["lr"]
            if now is written or now == written:
                continue
            self._warned_of_rates = True
            text = WRITTEN if base is None else WRITTEN_AROUND
            names = {"optimizer": self._optimizer, "base": base, "number": number}
            text = text.format(**names, written=float(written), now=float(now))
            warnings.warn(text, UserWarning, stacklevel=_USER)
            return

    def check_gradients(self, params: Iterable[Tensor], closure: Callable[..., Any]) -> None:
        """Warn, once, if gradients, other than zero, were written since the last step.

        Those from before the first step of a parameter are nobody's fault: another optimizer, or a
        step before the parameter was added, may have left them.

        Args:
            params: all parameters.
            closure: the step's; a framework that made it has a way out of its own.
        """
        if self._looks == 0:
            return
        unknown = [p.grad for p in params if p.grad is not None and self._is_new(p, p.grad)]
        if not unknown:
            return
        self._looks -= 1
        if any_nonzero(unknown):
            self._looks = 0
            ways_out = advice_on_gradients(closure) or WAYS_OUT
            text = DROPPED.format(optimizer=self._optimizer, ways_out=ways_out)
            warnings.warn(text, UserWarning, stacklevel=_USER)

    def _is_new(self, param: Tensor, gradient: Tensor) -> bool:
        if id(param) not in self._gradients:
            return False
        tensor, version = self._gradients[id(param)]
        return tensor is None or tensor() is not gradient or version != gradient._version


def _mark(gradient: Tensor | None) -> tuple[ref[Tensor] | None, int]:
    return (None, 0) if gradient is None else (ref(gradient), gradient._version)


def any_nonzero(tensors: Iterable[Tensor]) -> bool:
    """Whether an entry in this process is not zero; one synchronisation."""
    parts = [local(x.detach()) for x in tensors]
    found = [(x.coalesce().values() if x.is_sparse else x).any() for x in parts]
    return bool(torch.stack([x.to(found[0].device) for x in found]).any())
