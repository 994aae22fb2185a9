"""Search directions d, so that a step is `w ← w − η·d`.

A direction is made from the moments as they will be after the step, without writing them: they
are written by `commit`, once the step is accepted, so that a failed step leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch

from sls.arithmetic import Tensors
from sls.parameters import GroupTensors


class Direction(Protocol):
    """Where to search, and where to go.

    Attributes:
        takes_what_it_searched: whether the two are the same, so that the point kept is the
            point that was tested.
    """

    takes_what_it_searched: bool

    def searched(self, group: GroupTensors) -> Tensors:
        """The direction along which trials are made."""
        ...

    def taken(self, group: GroupTensors) -> Tensors:
        """The direction of the step that is taken."""
        ...

    def commit(self, group: GroupTensors) -> None:
        """Write the state as it is after the step."""
        ...


class CommittedFirst(Direction, Protocol):
    """A direction for steps that are taken whatever they find, and so need no way back."""

    def committed(self, group: GroupTensors) -> Tensors:
        """Commit, and the direction of the step, as `taken` would have given it before."""
        ...


class SGD:
    """`d = g`."""

    takes_what_it_searched = True

    def searched(self, group: GroupTensors) -> Tensors:
        """The gradient."""
        return group.grads

    def taken(self, group: GroupTensors) -> Tensors:
        """The gradient."""
        return group.grads

    def commit(self, group: GroupTensors) -> None:
        """There is no state."""


class MomentumSGD:
    """`d = m`, `m ← β₁·m + g`: the heavy ball, searched and taken.

    With a fixed step this is `torch.optim.SGD(momentum=β₁)`. A constant gradient ends in
    `d = g/(1−β₁)`.

    Source: Polyak (1964).
    """

    takes_what_it_searched = True

    def searched(self, group: GroupTensors) -> Tensors:
        """The momentum as it will be after the step."""
        beta1, _ = group.settings["betas"]
        direction = group.arithmetic.mul(group.state_tensors("momentum_buffer"), beta1)
        group.arithmetic.add_(direction, group.grads, 1)
        return direction

    def taken(self, group: GroupTensors) -> Tensors:
        """The same."""
        return self.searched(group)

    def commit(self, group: GroupTensors) -> None:
        """Write m."""
        beta1, _ = group.settings["betas"]
        momentum = group.state_tensors("momentum_buffer")
        group.arithmetic.mul_(momentum, beta1)
        group.arithmetic.add_(momentum, group.grads, 1)
        group.keep_state()

    def committed(self, group: GroupTensors) -> Tensors:
        """Write m; it is the direction."""
        self.commit(group)
        return group.state_tensors("momentum_buffer")


class Adam:
    """`d = m̂/(√v̂ + ε)`, searched and taken.

    `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)` with `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`; t counts
    the steps in which the parameter had a gradient. This is `torch.optim.Adam`'s direction.

    Source: Kingma and Ba (2015), arXiv 1412.6980.
    """

    takes_what_it_searched = True

    def searched(self, group: GroupTensors) -> Tensors:
        """Adam's direction with momentum."""
        return _adam(group)

    def taken(self, group: GroupTensors) -> Tensors:
        """Adam's direction with momentum."""
        return _adam(group)

    def commit(self, group: GroupTensors) -> None:
        """Write m, v and t."""
        _commit_moments(group)

    def committed(self, group: GroupTensors) -> Tensors:
        """Write m, v and t; Adam's direction with momentum."""
        _commit_moments(group)
        return _adam_of_kept_moments(group)


class MomentumFreeAdam:
    """`d = g/(√v̂ + ε)` searched, Adam's `m̂/(√v̂ + ε)` taken: not the point that was tested.

    The papers' choice for Adam-SLS (Vaswani et al. 2020, arXiv 2006.06835) and SaLSa.
    """

    takes_what_it_searched = False

    def searched(self, group: GroupTensors) -> Tensors:
        """Adam's direction without momentum; its slope `Σ g²/(√v̂+ε)` is never negative."""
        return group.arithmetic.div(group.grads, _denominators(group))

    def taken(self, group: GroupTensors) -> Tensors:
        """Adam's direction with momentum."""
        return _adam(group)

    def commit(self, group: GroupTensors) -> None:
        """Write m, v and t."""
        _commit_moments(group)


def _adam(group: GroupTensors) -> Tensors:
    beta1, _ = group.settings["betas"]
    direction = group.arithmetic.lerp(group.state_tensors("exp_avg"), group.grads, 1 - beta1)
    group.arithmetic.div_(direction, _denominators(group))
    group.arithmetic.div_by_(direction, [1 - beta1**t for t in _steps_after(group)])
    return direction


def _adam_of_kept_moments(group: GroupTensors) -> Tensors:
    """As `_adam` would have been before the moments were written, to the bit, for half the work."""
    arithmetic = group.arithmetic
    beta1, _ = group.settings["betas"]
    steps = [state["step"] for state in group.states]
    roots = arithmetic.sqrt(group.state_tensors("exp_avg_sq"))
    _finish_denominators(group, roots, steps)
    direction = arithmetic.div(group.state_tensors("exp_avg"), roots)
    arithmetic.div_by_(direction, [1 - beta1**t for t in steps])
    return direction


def _denominators(group: GroupTensors) -> Tensors:
    """`√v̂ + ε`, as after the step."""
    arithmetic = group.arithmetic
    _, beta2 = group.settings["betas"]
    second = arithmetic.mul(group.state_tensors("exp_avg_sq"), beta2)
    arithmetic.addcmul_(second, group.grads, group.grads, 1 - beta2)
    arithmetic.sqrt_(second)
    _finish_denominators(group, second, _steps_after(group))
    return second


def _finish_denominators(group: GroupTensors, roots: Tensors, steps: Sequence[int]) -> None:
    """From `√v` to `√v̂ + ε`, with ε no smaller than the root of the type's least normal number.

    Where a gradient is 0, or its square rounds to 0, `0/0` would else be NaN: with ε = 0, or
    with ε = 1e-8 in float16, which has no such number.
    """
    _, beta2 = group.settings["betas"]
    group.arithmetic.div_by_(roots, [math.sqrt(1 - beta2**t) for t in steps])
    dtypes = {root.dtype for root in roots}
    least = max((math.sqrt(torch.finfo(dtype).tiny) for dtype in dtypes), default=0.0)
    group.arithmetic.add_number_(roots, max(group.settings["eps"], least))


def _commit_moments(group: GroupTensors) -> None:
    arithmetic = group.arithmetic
    beta1, beta2 = group.settings["betas"]
    arithmetic.lerp_(group.state_tensors("exp_avg"), group.grads, 1 - beta1)
    second = group.state_tensors("exp_avg_sq")
    arithmetic.mul_(second, beta2)
    arithmetic.addcmul_(second, group.grads, group.grads, 1 - beta2)
    steps = _steps_after(group)
    group.keep_state()
    for state, t in zip(group.states, steps, strict=True):
        state["step"] = t


def _steps_after(group: GroupTensors) -> Sequence[int]:
    return [state.get("step", 0) + 1 for state in group.states]
