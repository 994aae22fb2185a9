"""The rules that several twins share: directions, annealing, the search frequency, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Losses = Callable[[int, Vector], float]
Gradients = Callable[[int, Vector], Vector]

MACHINE_EPSILON = 2.220446049250313e-16
"""Distance from 1 to the next float64."""


class Step(NamedTuple):
    """What one step did. A step that failed has `step_size` 0 and leaves `w`, `h` and `s` alone.

    `h` and `s` are nan for the optimizers without smoothing; `trials` is 0 in a step without a
    search.
    """

    w: Vector  # after the step
    step_size: float  # accepted, not scaled by annealing
    slope: float  # p = ⟨gradient, direction searched⟩
    trials: int
    h: float
    s: float


class Moments(NamedTuple):
    """Adam's running means after `t` steps, without bias correction."""

    m: Vector
    v: Vector
    t: int


def no_moments(w: Vector) -> Moments:
    """Adam's state before the first step."""
    return Moments(np.zeros_like(w), np.zeros_like(w), 0)


def clipped(g: Vector, max_norm: float | None) -> Vector:
    """g·min(1, max_norm/(‖g‖ + 1e-6)), or g where there is no bound."""
    if max_norm is None:
        return g
    return g * min(1.0, max_norm / (float(np.sqrt(np.sum(g**2))) + 1e-6))


def next_moments(old: Moments, g: Vector, betas: tuple[float, float]) -> Moments:
    """m ← β1·m + (1−β1)·g, v ← β2·v + (1−β2)·g², t ← t + 1."""
    m = betas[0] * old.m + (1 - betas[0]) * g
    v = betas[1] * old.v + (1 - betas[1]) * g**2
    return Moments(m, v, old.t + 1)


def adam_direction(moments: Moments, betas: tuple[float, float], eps: float) -> Vector:
    """d = m̂/(√v̂ + ε), m̂ = m/(1−β1ᵗ), v̂ = v/(1−β2ᵗ)."""
    m_hat = moments.m / (1 - betas[0] ** moments.t)
    v_hat = moments.v / (1 - betas[1] ** moments.t)
    return m_hat / (np.sqrt(v_hat) + eps)


def momentum_free_direction(
    moments: Moments, g: Vector, betas: tuple[float, float], eps: float
) -> Vector:
    """d = g/(√v̂ + ε), v̂ = v/(1−β2ᵗ)."""
    v_hat = moments.v / (1 - betas[1] ** moments.t)
    return g / (np.sqrt(v_hat) + eps)


def anneal_factor(k: int, total_steps: int | None, anneal: float) -> float:
    """1 for k < (1−a)·T, then (T−k)/(a·T), never below 0; 1 where the length T is not known."""
    if total_steps is None or k < (1 - anneal) * total_steps:
        return 1.0
    if k >= total_steps:
        return 0.0
    return (total_steps - k) / (anneal * total_steps)


def moved(w0: Vector, d: Vector, taken: float, weight_decay: float | Vector) -> Vector:
    """w0 − η·d − η·λ·w0, with η the step taken (after annealing)."""
    return w0 - taken * d - taken * weight_decay * w0


def allowance(tolerance: float, f0: float, f_trial: float) -> float:
    """What rounding may hide in f0 − f_trial: tolerance·ε·(|f0| + |f_trial|)."""
    return tolerance * MACHINE_EPSILON * (abs(f0) + abs(f_trial))


class Start:
    """Where a search starts, and what the steps before it say of that.

    Bounds by what float64 can tell are left out: no problem of the twins comes near them.
    """

    def __init__(self, init_step: float) -> None:
        self.last = init_step  # the step before the first, which grows like every other
        self.failed_at: float | None = None
        self.recover_to: float | None = None
        self.level: float | None = None

    def first_trial(self, growth: float) -> float:
        """The last step grown; after a failed search its last trial, then tenfold back."""
        if self.failed_at is not None:
            return self.failed_at
        if self.recover_to is not None:
            return max(self.last * growth, min(10 * self.last, self.recover_to))
        return self.last * growth

    def proves_nothing(self, f0: float, f_trial: float, p: float, eta: float) -> bool:
        """Whether decrease and slope are below the rounding of the losses and of their mean."""
        if not finite(f_trial):
            return False
        scale = max(abs(f0), abs(f_trial), 0.0 if self.level is None else self.level)
        rounding = 2 * MACHINE_EPSILON * scale
        return abs(f0 - f_trial) <= rounding and max(eta, 1) * abs(p) <= rounding

    def tolerance(self, tolerance: float) -> float:
        """What a search forgives: one rounding at least after a failed one."""
        return tolerance if self.failed_at is None else max(tolerance, 1)

    def proved(self, eta: float, trials: int, f0: float) -> None:
        """A search kept η at the last of so many trials."""
        if trials > 1 or (self.recover_to is not None and eta >= self.recover_to):
            self.recover_to = None
        self.failed_at = None
        self.last = eta
        self.saw(f0)

    def failed(self, last_trial: float) -> None:
        """A search kept none of its trials."""
        if self.recover_to is None:
            self.recover_to = self.last
        self.failed_at = last_trial

    def saw(self, f0: float) -> None:
        """A step at a loss of f0 was taken after a trial."""
        self.level = abs(f0) if self.level is None else 0.9 * self.level + 0.1 * abs(f0)


class SearchFrequency:
    """SaLSa's rule of how often to search: often while the step changes, seldom while it rests."""

    def __init__(self) -> None:
        self.fast: float | None = None
        self.slow: float | None = None
        self.last_search = 0

    def interval(self) -> int:
        """L = 1/(r−1), rounded, between 1 and 10; 1 as long as no step was accepted."""
        if self.fast is None or self.slow is None:
            return 1
        r = self.fast / self.slow
        if r < 1:
            r = 1 / r
        if r == 1:
            return 10
        return min(10, max(1, round(1 / (r - 1))))

    def due(self, k: int) -> bool:
        """Whether step `k` (0-based, failed ones counted) searches: the first 10 always do."""
        return k < 10 or k - self.last_search >= self.interval()

    def searched(self, k: int) -> None:
        """Step `k` searches, whether or not it finds a step."""
        self.last_search = k

    def took(self, step: float) -> None:
        """A step, not scaled by annealing, was taken; call it once for every step not failed."""
        if self.fast is None or self.slow is None:
            self.fast = self.slow = step
            return
        self.fast = 0.9 * self.fast + 0.1 * step
        self.slow = 0.99 * self.slow + 0.01 * step


def finite(*values: float) -> bool:
    """Whether none of them is nan or infinite."""
    return all(math.isfinite(value) for value in values)
