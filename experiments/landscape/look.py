"""Looking along a step: the loss of its mini-batch on the line that it was taken on.

    φ(t) = f(w − t·d),  t in [0, reach·η],

f with the random numbers and the buffers that the step itself saw. Afterwards parameters, random
numbers, buffers and counters are as if nobody had looked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import sls
from experiments.landscape.figure import Bound, Line, Look
from experiments.training.closure import BatchClosure
from experiments.training.loop import step_size_of, take_step
from sls.conditions import Memory
from sls.replay import Replay

# The loss at a share of the way to a target.
LossAt = Callable[[Sequence[Tensor], float], float]
# The losses along the way to a target, which is one step away, and at one further share of it.
MakeLine = Callable[[str, Sequence[Tensor], float, float], Line]

# How a step ended whose last trial is the point that was accepted.
_KEPT = frozenset((sls.Status.ACCEPTED, sls.Status.FLOOR))


class Looker:
    """Takes the steps of a training from its first, and looks along the chosen ones.

    Args:
        steps: the numbers of the steps to look along, the first being 1.
        points: evaluations along a line; the step itself may be one more.
        reach: the end of the line, in steps.

    Attributes:
        looks: what was seen so far.
    """

    def __init__(self, steps: Sequence[int], *, points: int, reach: float) -> None:
        self.looks: list[Look] = []
        self._steps = frozenset(steps)
        self._shares = shares(points, reach)
        self._step = 0

    def __call__(self, optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
        """Take one step; returns the loss before it."""
        self._step += 1
        if self._step not in self._steps:
            return take_step(optimizer, closure)
        params = [param for group in optimizer.param_groups for param in group["params"]]
        before = _Before(optimizer, params)
        watched = _WatchedClosure(closure, params)
        replay = Replay(param.device for param in params)
        with replay.first_evaluation():
            loss = take_step(optimizer, watched)
        after = _copies(params)

        @torch.no_grad()
        def loss_at(target: Sequence[Tensor], share: float) -> float:
            replay.rewind()
            torch._foreach_copy_(params, _between(before.params, target, share))
            return float(closure.uncounted()())

        seen = before.look(self._step, loss, after, watched.last_trial, self._lines(loss_at))
        self.looks.append(seen)
        with torch.no_grad():
            torch._foreach_copy_(params, after)
        replay.finish()
        return loss

    def _lines(self, loss_at: LossAt) -> MakeLine:
        def line(direction: str, target: Sequence[Tensor], step: float, also: float) -> Line:
            on_grid = sorted({*self._shares, also})
            losses = tuple(loss_at(target, share) for share in on_grid)
            return Line(direction, step, tuple(step * share for share in on_grid), losses)

        return line


class _WatchedClosure(BatchClosure):
    """A batch's closure that remembers where it was last evaluated without gradients."""

    def __init__(self, closure: BatchClosure, params: Sequence[Tensor]) -> None:
        self.__dict__.update(closure.__dict__)
        self.last_trial: list[Tensor] | None = None
        self._params = params

    def __call__(self) -> Tensor:
        if not torch.is_grad_enabled():
            self.last_trial = _copies(self._params)
        return super().__call__()


class _Before:
    """What has to be known of an optimizer before its step to tell afterwards what it did."""

    def __init__(self, optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> None:
        self.params = _copies(params)
        self._optimizer = optimizer
        self._memory = Memory()
        if isinstance(optimizer, sls.LineSearch):
            self._memory = optimizer.search_state.memory

    def look(
        self,
        step: int,
        loss: float,
        after: list[Tensor],
        last_trial: list[Tensor] | None,
        line: MakeLine,
    ) -> Look:
        """What is to be seen of the step that led from here to `after`."""
        optimizer = self._optimizer
        if isinstance(optimizer, sls.PeakSLS):
            return _look_at_peak(optimizer, step, loss, after, line)
        if not isinstance(optimizer, sls.LineSearch):
            rate = step_size_of(optimizer)
            lines = (line("taken", after, rate, 1.0),) if rate > 0 else ()
            return Look(step, "taken", loss, rate, rate, lines)
        record = optimizer.last_step
        assert record is not None  # noqa: S101 - a step was taken
        if not record.status.moved:
            return Look(step, record.status, loss, 0.0, 0.0, ())
        taken = record.step_size * record.factor
        same = optimizer.direction.takes_what_it_searched
        lines = ()
        if record.status in _KEPT and last_trial is not None:
            name = "searched and taken" if same else "searched"
            lines = (line(name, last_trial, record.step_size, record.factor),)
        if taken > 0 and not (lines and same):
            lines = (*lines, line("taken", after, taken, 1.0))
        return Look(
            step,
            record.status,
            loss,
            record.step_size,
            taken,
            lines,
            slope=record.slope,
            accepts=self._accepts(optimizer, loss, record.slope) if record.searched else None,
            armijo=Bound(loss, -optimizer.param_groups[0]["c"] * record.slope),
        )

    def _accepts(self, optimizer: sls.LineSearch, loss: float, slope: float) -> Bound:
        """The loss up to which a trial is accepted, a straight line over the step."""
        condition = optimizer.condition
        at_zero = loss - condition.least_decrease(0.0, slope, self._memory)
        at_one = loss - condition.least_decrease(1.0, slope, self._memory)
        return Bound(at_zero, at_one - at_zero)


def _look_at_peak(
    optimizer: sls.PeakSLS, step: int, loss: float, after: list[Tensor], line: MakeLine
) -> Look:
    """The step along its direction; no condition accepted it, so that there is no bound."""
    record = optimizer.last_step
    assert record is not None  # noqa: S101 - a step was taken
    if not (record.status.moved and math.isfinite(loss)):
        return Look(step, record.status, loss, 0.0, 0.0, ())
    taken = record.step_size * record.factor
    lines = (line("taken", after, taken, 1.0),) if taken > 0 else ()
    return Look(step, record.status, loss, record.step_size, taken, lines, slope=record.slope)


def shares(points: int, reach: float) -> tuple[float, ...]:
    """`points` numbers from 0 to `reach`, and 1; densest at 0, since a best step may be small."""
    spread = {reach * (index / (points - 1)) ** 2 for index in range(points)}
    return tuple(sorted(spread | {1.0}))


def _copies(params: Sequence[Tensor]) -> list[Tensor]:
    return [param.detach().clone() for param in params]


def _between(start: Sequence[Tensor], end: Sequence[Tensor], share: float) -> list[Tensor]:
    """`start + share·(end − start)`; exactly `end` for a share of 1."""
    return [torch.lerp(a, b, share) for a, b in zip(start, end, strict=True)]
