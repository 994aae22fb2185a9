"""Looks along steps: a run is repeated, and the loss of some mini-batches taken along their steps.

    φ(t) = f(w − t·d),  t in [0, reach·η],

f with the random numbers and the buffers that the step itself saw. Afterwards parameters, random
numbers, buffers and counters are as if nobody had looked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

import sls
from experiments.config.schema import RunConfig
from experiments.files.run_folder import RunFolder
from experiments.landscape.record import Bound, Line, Look
from experiments.run import assemble, run_info
from experiments.training.closure import BatchClosure
from experiments.training.loggers.base import Logger, Row
from experiments.training.loggers.console import console_logger
from experiments.training.loop import step_size_of, take_step
from sls.conditions import Memory
from sls.replay import Replay

# The losses along the way to a target, which is one step away, and at one further share of it.
MakeLine = Callable[[str, Sequence[Tensor], float, float], Line]
# How a step ended whose last trial is the point that was accepted.
_KEPT = frozenset((sls.Status.ACCEPTED, sls.Status.FLOOR))


class _SeenEnough(Exception):  # noqa: N818 - not an error
    """The last chosen step is taken."""


class _Repetition(Logger):
    """Shows progress, keeps the losses, and ends the training after the last chosen step.

    Evaluations change nothing of a training, and are put off beyond its end.
    """

    def __init__(self, last_step: int) -> None:
        self.losses: list[float] = []
        self.console = console_logger()
        self._last_step = last_step

    def step(self, row: Row) -> None:
        self.losses.append(row["loss"])
        self.console.step(row)
        if row["step"] == self._last_step:
            raise _SeenEnough


def repeat_run(config: RunConfig, looker: Looker, last_step: int, folder: RunFolder) -> list[float]:
    """Train in an empty folder as the run did, up to a step; returns the losses of all steps."""
    training = assemble(config, folder)
    end = training.plan.total_steps
    only_at_end = {"eval_every_steps": end, "checkpoint_every_steps": end}
    training.plan = training.plan.model_copy(update=only_at_end)
    training.take_step = looker
    repetition = _Repetition(last_step)
    repetition.console.start(replace(run_info(config, training), total_steps=last_step))
    try:
        training.run(repetition)
    except _SeenEnough:
        pass
    finally:
        repetition.console.finish({})
    # Without `_SeenEnough`, another machine's rounding made the run diverge before that step.
    return repetition.losses


class Looker:
    """Takes the steps of a training from its first, and looks along the chosen ones.

    `steps` are their numbers, from 1; a line has `points` evaluations, and maybe the step itself,
    up to `reach` steps. `looks` are the results so far.
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
        before = _copies(params)
        memory = Memory()
        if isinstance(optimizer, sls.LineSearch):
            memory = optimizer.search_state.memory
        watched = _WatchedClosure(closure, params)
        replay = Replay(param.device for param in params)
        with replay.first_evaluation():
            loss = take_step(optimizer, watched)
        after = _copies(params)

        @torch.no_grad()
        def line(direction: str, target: Sequence[Tensor], step: float, also: float) -> Line:
            on_grid = sorted({*self._shares, also})
            losses = []
            for share in on_grid:
                replay.rewind()
                # Exactly the target at a share of 1.
                points = [torch.lerp(a, b, share) for a, b in zip(before, target, strict=True)]
                torch._foreach_copy_(params, points)
                losses.append(float(closure.uncounted()()))
            return Line(direction, step, tuple(step * share for share in on_grid), tuple(losses))

        look = _look(self._step, optimizer, loss, memory, watched.last_trial, after, line)
        self.looks.append(look)
        with torch.no_grad():
            torch._foreach_copy_(params, after)
        replay.finish()
        return loss


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


def _look(
    step: int,
    optimizer: torch.optim.Optimizer,
    loss: float,
    memory: Memory,
    last_trial: list[Tensor] | None,
    after: list[Tensor],
    line: MakeLine,
) -> Look:
    """A look along the direction searched, and along the one taken if it is another.

    `memory` is the condition's before the step; `last_trial` and `after` are parameters.
    """
    if not isinstance(optimizer, sls.LineSearch | sls.PeakSLS):
        rate = step_size_of(optimizer)
        return Look(step, "taken", loss, rate, rate, _along(line, after, rate))
    record = optimizer.last_step
    assert record is not None  # noqa: S101 - a step was taken
    if not (record.status.moved and math.isfinite(loss)):
        return Look(step, record.status, loss, 0.0, 0.0, ())
    eta, taken = record.step_size, record.step_size * record.factor
    if isinstance(optimizer, sls.PeakSLS):  # no condition accepted its step: there is no bound
        lines = _along(line, after, taken)
        return Look(step, record.status, loss, eta, taken, lines, slope=record.slope)
    same, lines = optimizer.direction.takes_what_it_searched, ()
    if record.status in _KEPT and last_trial is not None:
        name = "searched and taken" if same else "searched"
        lines = (line(name, last_trial, eta, record.factor),)
    if not (lines and same):
        lines += _along(line, after, taken)
    accepts = armijo = None
    if record.slope is not None:
        least_decrease = optimizer.condition.least_decrease
        at_zero = loss - least_decrease(0.0, record.slope, memory)
        at_one = loss - least_decrease(1.0, record.slope, memory)
        accepts = Bound(at_zero, at_one - at_zero)
        armijo = Bound(loss, -optimizer.param_groups[0]["c"] * record.slope)
    return Look(step, record.status, loss, eta, taken, lines, record.slope, accepts, armijo)


def _along(line: MakeLine, after: list[Tensor], taken: float) -> tuple[Line, ...]:
    """The line of the step taken; none for a step of zero."""
    return (line("taken", after, taken, 1.0),) if taken > 0 else ()


def shares(points: int, reach: float) -> tuple[float, ...]:
    """`points` numbers from 0 to `reach`, and 1; densest at 0, since a best step may be small."""
    spread = {reach * (index / (points - 1)) ** 2 for index in range(points)}
    return tuple(sorted(spread | {1.0}))


def _copies(params: Sequence[Tensor]) -> list[Tensor]:
    return [param.detach().clone() for param in params]
