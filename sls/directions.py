"""Search directions d, so that a step is `w ← w − η·d`, and their slope `p = ⟨g, d⟩`.

A direction is made from the moments as they will be after the step, without writing them: they
are written by `commit`, once the step is accepted, so that a failed step leaves no trace.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from sls import moments
from sls.arithmetic import Tensors, dots, precise
from sls.parameters import GroupTensors

FIRST_DIFFERENCE, LAST_DIFFERENCE = 5e-9, 1.0


class Direction(Protocol):
    """A direction d: trials go to `w − η·d`, and so does the step.

    A direction of your own derives from this class and defines `searched`; the other methods
    have defaults, for a direction without state that is taken as it was searched. One object
    serves all parameter groups and all steps. State that changes belongs into
    `group.state_tensors`, written in `commit`: then it is part of the optimizer's `state_dict`,
    and a step that fails leaves it alone.

    Attributes:
        takes_what_it_searched: whether `searched` and `taken` are the same, so that the point
            kept is the point that was tested.
        pointwise: whether a number of d depends on the gradient and the state at its own place
            alone. Of large models d is then made piece by piece, with less memory; a piece shows
            large tensors flat.

    Examples:
        The sign of the gradient:

        >>> from sls import Direction
        >>> class Sign(Direction):
        ...     def searched(self, group):
        ...         return [grad.sign() for grad in group.grads]
    """

    takes_what_it_searched: bool = True
    pointwise: bool = False

    @abstractmethod
    def searched(self, group: GroupTensors) -> Tensors:
        """The direction along which trials are made; called before `commit`.

        Args:
            group: the parameters of one group that have a gradient: `group.params`,
                `group.grads`, `group.settings`, `group.state_tensors(name)`. Complex tensors
                appear as their real views.

        Returns:
            A tensor for each of `group.params`, of its shape, type and device; neither the
            parameters nor the gradients are to be written to.
        """

    def taken(self, group: GroupTensors) -> Tensors:
        """The direction of the step that is taken, as `searched` before `commit`."""
        return self.searched(group)

    def commit(self, group: GroupTensors) -> None:
        """Write the state as it is after the step: once per step that moves the parameters.

        Write in place into the tensors of `group.state_tensors(name)`, then call
        `group.keep_state()`.
        """
        return

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Go to `w − η·d − decay·w` along d as it is `taken`, without a way back, and commit."""
        for part in group.pieces() if self.pointwise and group.is_large else [group]:
            part.step(checked(self.taken(part), part), step_size, decay)
        self.commit(group)


def checked(direction: Tensors, group: GroupTensors) -> Tensors:
    """The direction, if it has a tensor of the right shape for each of the group's parameters.

    Raises:
        ValueError: it has not; names the shapes.
    """
    wanted = [tuple(param.shape) for param in group.params]
    listed = isinstance(direction, (list, tuple))
    given = [tuple(x.shape) for x in direction] if listed else type(direction).__name__
    if given != wanted:
        raise ValueError(
            "a direction must have one tensor per parameter with a gradient, of its shape; "
            f"wanted {wanted}, got {given}"
        )
    return direction


class Scaled(Direction):
    """A direction times the scale of each parameter group (`lr_scale`).

    Args:
        direction: the direction.
    """

    def __init__(self, direction: Direction):
        self._direction = direction
        self.takes_what_it_searched = direction.takes_what_it_searched
        self.pointwise = direction.pointwise

    def searched(self, group: GroupTensors) -> Tensors:
        """The direction searched, scaled."""
        return _scaled(self._direction.searched(group), group)

    def taken(self, group: GroupTensors) -> Tensors:
        """The direction taken, scaled."""
        return _scaled(self._direction.taken(group), group)

    def commit(self, group: GroupTensors) -> None:
        """Write the direction's state, to which the scale is nothing."""
        self._direction.commit(group)

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Commit, and go to `w − η·d − decay·w`, d scaled, without a way back."""
        self._direction.step(group, group.scale * step_size, decay)


def _scaled(direction: Tensors, group: GroupTensors) -> Tensors:
    if group.scale == 1:
        return direction
    return group.arithmetic.mul(checked(direction, group), group.scale)


def scaled(direction: Direction, groups: Iterable[GroupTensors]) -> Direction:
    """The direction times the scale of each group; itself where all scales are 1."""
    if all(group.scale == 1 for group in groups):
        return direction
    return Scaled(direction)


class SGD(Direction):
    """The gradient, `d = g`."""

    pointwise = True

    def searched(self, group: GroupTensors) -> Tensors:
        """The gradient."""
        return group.grads


class MomentumSGD(Direction):
    """The heavy ball, `d = m` with `m ← β₁·m + g`, searched and taken.

    With a fixed step this is `torch.optim.SGD(momentum=β₁)`. A constant gradient ends in
    `d = g/(1−β₁)`.

    Source: Polyak (1964).
    """

    pointwise = True

    def searched(self, group: GroupTensors) -> Tensors:
        """The momentum as it will be after the step."""
        beta1, _ = group.settings["betas"]
        direction = group.arithmetic.mul(group.state_tensors("momentum_buffer"), beta1)
        group.arithmetic.add_(direction, group.grads, 1)
        return direction

    def commit(self, group: GroupTensors) -> None:
        """Write m."""
        beta1, _ = group.settings["betas"]
        momentum = group.state_tensors("momentum_buffer")
        group.arithmetic.mul_(momentum, beta1)
        group.arithmetic.add_(momentum, group.grads, 1)
        group.keep_state()

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Write m, and move along it, without a copy."""
        self.commit(group)
        group.step(group.state_tensors("momentum_buffer"), step_size, decay)


class Adam(Direction):
    """Adam's direction with momentum, `d = m̂/(√v̂ + ε)`, searched and taken.

    `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)` with `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`; t counts
    the steps in which the parameter had a gradient. This is `torch.optim.Adam`'s direction.

    Source: Kingma and Ba (2015), arXiv 1412.6980.
    """

    pointwise = True

    def searched(self, group: GroupTensors) -> Tensors:
        """Adam's direction with momentum."""
        return moments.direction(group)

    def commit(self, group: GroupTensors) -> None:
        """Write m, v and t."""
        moments.commit(group)

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Write m, v and t, and move, in one pass over the tensors where torch has a kernel."""
        moments.step(group, step_size, decay)


class MomentumFreeAdam(Direction):
    """Momentum-free Adam `d = g/(√v̂ + ε)` searched, Adam's `m̂/(√v̂ + ε)` taken.

    The point that is kept is therefore not the point that was tested.

    The papers' choice for Adam-SLS (Vaswani et al. 2020, arXiv 2006.06835) and SaLSa.
    """

    takes_what_it_searched = False
    pointwise = True

    def searched(self, group: GroupTensors) -> Tensors:
        """Adam's direction without momentum; its slope `Σ g²/(√v̂+ε)` is never negative."""
        return moments.direction_without_momentum(group)

    def taken(self, group: GroupTensors) -> Tensors:
        """Adam's direction with momentum."""
        return moments.direction(group)

    def commit(self, group: GroupTensors) -> None:
        """Write m, v and t."""
        moments.commit(group)

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Write m, v and t, and move, in one pass over the tensors where torch has a kernel."""
        moments.step(group, step_size, decay)


def exact_slope(pairs: Iterable[tuple[Tensors, Tensors]], device: torch.device) -> Tensor:
    """`p = ⟨g, d⟩` over all (gradients, direction) pairs, in float32 or better, on `device`."""
    partial = [x for gradients, direction in pairs for x in dots(gradients, direction)]
    if not partial:
        return torch.zeros((), device=device)
    dtype = precise(partial)
    return torch.stack([x.to(device, dtype, non_blocking=True) for x in partial]).sum()


def finite_difference_slope(loss: float, loss_at: Callable[[float], float]) -> float:
    """`p ≈ (f(w) − f(w − ε·d))/ε`, the estimate of the ALSALS paper (arXiv 2403.18519).

    ε is 5e-9 and grows tenfold while the difference is exactly zero, up to 1. In float32 the
    result is rounding noise; the optimizers' default is the exact slope.

    Args:
        loss: `f(w)`.
        loss_at: `f(w − ε·d)`, one forward pass a call.
    """
    eps = FIRST_DIFFERENCE
    estimate = (loss - loss_at(eps)) / eps
    while estimate == 0 and eps * 10 <= LAST_DIFFERENCE:
        eps *= 10
        estimate = (loss - loss_at(eps)) / eps
    return estimate
