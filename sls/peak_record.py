"""What one step of `PeakSLS` did; numbers on a device are read only when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sls.record import Status


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
