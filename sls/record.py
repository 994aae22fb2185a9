"""What one step did, as a record that a logger can read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """How a step ended. The first five moved the parameters, the others left everything alone."""

    ACCEPTED = "accepted"
    """A trial satisfied the condition."""
    FLOOR = "floor"
    """The search reached `min_step` and kept its last trial."""
    FALLBACK = "fallback"
    """No trial satisfied the condition; the named small step was taken."""
    REPEATED = "repeated"
    """No search was due; the last step was taken again."""
    LOWERED = "lowered"
    """The loss had risen, or was lost by the last step; the peak was halved."""
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
        return self not in _REFUSALS


_REFUSALS = frozenset(
    (
        Status.IDLE,
        Status.EXHAUSTED,
        Status.NONFINITE_TRIALS,
        Status.NONFINITE_LOSS,
        Status.NONFINITE_SLOPE,
    )
)


class Ended(Protocol):
    """What every record of a step tells."""

    @property
    def status(self) -> Status:
        """How the step ended."""
        ...


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a line search.

    Attributes:
        loss: the mini-batch's loss before the step.
        loss_next: its loss at the last trial, or None if there was none.
        step_size: the accepted step η, before annealing; in a failed step, the last good one.
        slope: `p = ⟨g, d⟩` of the direction searched.
        trials: the number of trials.
        forwards: the number of calls of the closure.
        searched: whether a search was due.
        status: how the step ended.
        factor: the annealing factor; `step_size·factor` is the step that was taken.
    """

    loss: float
    loss_next: float | None
    step_size: float
    slope: float
    trials: int
    forwards: int
    searched: bool
    status: Status
    factor: float
