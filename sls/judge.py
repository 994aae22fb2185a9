"""The judgement of a step by the next mini-batch, and how sure it is. No torch.

Step k−1 went from `w_{k−1}` to `w_k = w_{k−1} − η·d`. Mini-batch k has not seen it, so that its
losses at both ends, and the slope at the far one, are unbiased samples of the expected loss'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """The parabola of mini-batch k along the last step.

    Attributes:
        gain: `Δ' = f_k(w_{k−1}) − f_k(w_k)`.
        slope_far: `p_b = ⟨∇f_k(w_k), d_{k−1}⟩`, the decrease per unit step at the far end.
        step: η, the step really taken, > 0.
    """

    gain: float
    slope_far: float
    step: float

    @classmethod
    def towards_anchor(cls, looked: Sequence[float], loss: float, step: float) -> Judgement:
        """From what was measured: `⟨∇f_k(w_k), w_{k−1} − w_k⟩ = η·p_b`, and `f_k(w_{k−1})`."""
        slope, loss_before = looked
        return cls(gain=loss_before - loss, slope_far=slope / step, step=step)

    @property
    def slope_near(self) -> float:
        """`p_a = 2Δ'/η − p_b`, the slope at the near end, where the step began."""
        return 2 * self.gain / self.step - self.slope_far

    @property
    def curvature(self) -> float:
        """`q = (p_a − p_b)/η`."""
        return 2 * (self.gain / self.step - self.slope_far) / self.step


@dataclass(frozen=True, slots=True)
class RunningMean:
    """An exponential running mean that knows its own error.

    With the weights `a_i` of the values so far, W = Σ a_i and W₂ = Σ a_i², it is the mean of
    `n = W²/W₂` values in effect. Dividing by W corrects the bias towards the start. West's (1979)
    update keeps the scatter `Σ a_i (x_i − mean)²` without cancellation.

    Attributes:
        weight: W.
        squares: W₂.
        mean: `Σ a_i x_i / W`.
        scatter: `Σ a_i (x_i − mean)²`.
    """

    weight: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    scatter: float = 0.0

    def with_value(self, value: float, beta: float) -> RunningMean:
        """The mean with one more value of weight 1−β, and all earlier ones faded by β."""
        share = 1 - beta
        weight = beta * self.weight + share
        off = value - self.mean
        mean = self.mean + share / weight * off
        return RunningMean(
            weight=weight,
            squares=beta**2 * self.squares + share**2,
            mean=mean,
            scatter=beta * self.scatter + share * off * (value - mean),
        )

    @property
    def count(self) -> float:
        """The number of values in effect, `n = W²/W₂`; 0 before the first."""
        return self.weight**2 / self.squares if self.squares > 0 else 0.0

    @property
    def error(self) -> float:
        """The standard error of the mean, `√(scatter/W / (n−1))`; infinite for a single value."""
        n = self.count
        if n <= _ONE_VALUE:
            return math.inf
        return math.sqrt(self.scatter / self.weight / (n - 1))


_ONE_VALUE = 1.0001
"""Counts up to this are a single value, up to rounding."""


def confident_ratio(numerator: RunningMean, denominator: RunningMean, errors: float) -> float:
    """The least ratio of two means that their errors allow.

    `(a − κ·se_a)/(b + κ·se_b)`, κ = `errors`: 0 where the numerator is not surely positive,
    infinite where it is and the denominator may be taken for no more than 0.
    """
    above = numerator.mean - errors * numerator.error
    below = denominator.mean + errors * denominator.error
    if above <= 0:
        return 0.0
    return above / below if below > 0 else math.inf
