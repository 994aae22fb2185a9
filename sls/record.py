"""Records: what one step did, for loggers to read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from torch import Tensor


class Status(StrEnum):
    """How a step ended. `moved` says whether it moved the parameters.

    A member equals its text, so that a status can be logged and compared as it is:

    >>> from sls import Status
    >>> Status.FLOOR == "floor", Status.FLOOR.moved, Status.EXHAUSTED.moved
    (True, True, False)
    """

    ACCEPTED = "accepted"
    """A trial satisfied the condition."""
    FLOOR = "floor"
    """The search reached `min_step` and kept its last trial."""
    FALLBACK = "fallback"
    """No trial satisfied the condition; a fixed small step was taken (`SLS`: 1e-6)."""
    REPEATED = "repeated"
    """No search was due; the last step was taken again."""
    LOWERED = "lowered"
    """The loss had risen, or the last step lost it; the peak was halved (`PeakSLS`)."""
    IDLE = "idle"
    """The slope was exactly zero, as in a mini-batch that is all masked; nothing was changed."""
    EXHAUSTED = "exhausted"
    """No trial satisfied the condition; nothing was changed."""
    NONFINITE_TRIALS = "nonfinite_trials"
    """The loss of every trial was NaN or infinite; nothing was changed."""
    NONFINITE_LOSS = "nonfinite_loss"
    """The loss at the start of the step was NaN or infinite; nothing was changed."""
    NONFINITE_SLOPE = "nonfinite_slope"
    """A gradient, or the slope, was NaN or infinite; nothing was changed."""

    @property
    def moved(self) -> bool:
        """Whether the parameters moved."""
        return self in _MOVED


_MOVED = frozenset(
    (Status.ACCEPTED, Status.FLOOR, Status.FALLBACK, Status.REPEATED, Status.LOWERED)
)


class Ended(Protocol):
    """The part that all records share; `StepRecord` and `PeakRecord` say what each is."""

    @property
    def status(self) -> Status:
        """How the step ended."""
        ...

    @property
    def loss(self) -> float:
        """The mini-batch's loss before the step."""
        ...

    @property
    def step_size(self) -> float:
        """The step η before annealing."""
        ...

    @property
    def factor(self) -> float:
        """The annealing factor."""
        ...

    @property
    def trials(self) -> int:
        """The number of trials."""
        ...

    @property
    def searched(self) -> bool:
        """Whether there was a search, or a judgement."""
        ...


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a line search, as `optimizer.last_step`. All numbers are plain Python numbers.

    Losses have the unit of the loss, `step_size` that of the parameters over the direction
    (for Adam's direction: that of the parameters), `slope` that of the loss over the step.

    Attributes:
        loss: the mini-batch's loss before the step.
        loss_next: its loss at the last trial, or None if there was none.
        step_size: the accepted step η, before annealing; in a failed step, the last good one.
        slope: `p = ⟨g, d⟩` of the direction searched, or None in a step without a search.
        trials: the number of trials.
        forwards: the number of calls of the closure.
        searched: whether a search was due.
        status: how the step ended.
        factor: the annealing factor in [0, 1]; `step_size·factor` is the step that was taken.
    """

    loss: float
    loss_next: float | None
    step_size: float
    slope: float | None
    trials: int
    forwards: int
    searched: bool
    status: Status
    factor: float


@dataclass(frozen=True, slots=True)
class PeakRecord:
    """One step of `PeakSLS`, as `optimizer.last_step`. None: not measured in this step.

    Units are those of `StepRecord`; numbers are plain Python numbers but for `loss_on_device`.

    Attributes:
        loss_on_device: the mini-batch's loss before the step, a scalar tensor; `loss` reads it.
        step_size: the step η before annealing; in a failed step, the last good one.
        forwards: the number of calls of the closure.
        status: how the step ended.
        factor: the annealing factor in [0, 1]; `step_size·factor` is the step that was taken.
        gain: `Δ' = f_k(w_{k−1}) − f_k(w_k)`, what the step before gained on this mini-batch.
        slope_near: `p_a` of the step before, by the parabola.
        slope_far: `p_b = ⟨∇f_k(w_k), d_{k−1}⟩`.
        curvature: q of the step before, by the parabola.
        target: the careful argmin η* of the expected loss.
        persistence: n in [−1, 1], whether the steps of a window still descend together.
    """

    loss_on_device: Tensor
    step_size: float
    forwards: int
    status: Status
    factor: float
    gain: float | None = None
    slope_near: float | None = None
    slope_far: float | None = None
    curvature: float | None = None
    target: float | None = None
    persistence: float | None = None

    @property
    def loss(self) -> float:
        """The loss before the step; reading it waits for the device."""
        return float(self.loss_on_device)

    @property
    def searched(self) -> bool:
        """Whether the step before was judged."""
        return self.gain is not None

    @property
    def trials(self) -> int:
        """Evaluations of the loss besides the one that every step makes."""
        return self.forwards - 1

    @property
    def slope(self) -> None:
        """Always None: the slope along the direction taken is not needed."""
        return

    @property
    def loss_next(self) -> None:
        """Always None: the loss after the step is not evaluated."""
        return
