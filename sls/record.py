"""What one step did, as a record that a logger can read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


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
    EXHAUSTED = "exhausted"
    """No trial satisfied the condition; nothing was changed."""
    NONFINITE_TRIALS = "nonfinite_trials"
    """The loss of every trial was NaN or infinite; nothing was changed."""
    NONFINITE_LOSS = "nonfinite_loss"
    """The loss at the start of the step was NaN or infinite; nothing was changed."""
    NONFINITE_SLOPE = "nonfinite_slope"
    """A gradient, or the slope, was NaN or infinite; nothing was changed."""


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


@dataclass(frozen=True, slots=True)
class PeakRecord:
    """One step of `PeakSLS`. None stands for what was not measured in it.

    Attributes:
        loss_on_device: the mini-batch's loss before the step; `loss` reads it when asked.
        step_size: the step η before annealing; in a failed step, the last good one.
        slope: `p = ⟨g, d⟩` of the direction taken.
        forwards: the number of calls of the closure.
        status: how the step ended.
        factor: the annealing factor; `step_size·factor` is the step that was taken.
        gain: `Δ' = f_k(w_{k−1}) − f_k(w_k)`, what the step before gained on this mini-batch.
        slope_near: `p_a` of the step before, by the parabola.
        slope_far: `p_b = ⟨∇f_k(w_k), d_{k−1}⟩`.
        curvature: q of the step before, by the parabola.
        target: the careful argmin η* of the expected loss.
        persistence: n in [−1, 1], whether the steps of a window still descend together.
    """

    loss_on_device: Tensor
    step_size: float
    slope: float | None
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
        """The loss before the step; waits for the device."""
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
    def loss_next(self) -> None:
        """Nothing: the loss after the step is not asked for."""
        return
