"""PeakSLS (this project): the step rises to the peak that fresh mini-batches tell. Slow twin.

Sums over whole histories stand where the optimizer updates running numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from tests.reference.shared import (
    Gradients,
    Losses,
    Step,
    Vector,
    adam_direction,
    anneal_factor,
    finite,
    moved,
    next_moments,
    no_moments,
)


class FadingMean:
    """Mean and standard error of values whose weights fade, from the definition."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.weights: list[float] = []

    def add(self, value: float, beta: float) -> None:
        self.weights = [beta * weight for weight in self.weights] + [1 - beta]
        self.values.append(value)

    def mean(self) -> float:
        return float(np.average(self.values, weights=self.weights))

    def error(self) -> float:
        """√(variance/(n−1)) with n = (Σa)²/Σa²: the variance of n equal weights, over n."""
        a = np.array(self.weights)
        n = a.sum() ** 2 / (a**2).sum()
        if len(self.values) < 2:
            return math.inf
        variance = np.average((np.array(self.values) - self.mean()) ** 2, weights=a)
        return float(np.sqrt(variance / (n - 1)))


def target_of(slopes: FadingMean, curvatures: FadingMean) -> float:
    """η* = 2(1 − 0.4)·(p̄ − se_p)/(q̄ + se_q)."""
    p = slopes.mean() - slopes.error()
    q = curvatures.mean() + curvatures.error()
    if p <= 0:
        return 0.0
    return math.inf if q <= 0 else 1.2 * p / q


def risen(eta: float, target: float) -> float:
    """×1.2 without a bound; at most ×1.5 up to 0.3·η*; then by (η*/η)^0.03; never down."""
    if math.isinf(target):
        return 1.2 * eta
    if eta < 0.3 * target:
        return min(1.5 * eta, 0.3 * target)
    return eta * (target / eta) ** 0.03 if eta < target else eta


def peak_sls(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    total_steps: int | None = None,
    anneal: float = 0.3,
    direction: Literal["adam", "sgd"] = "adam",
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    init_step: float = 1e-5,
    weight_decay: float = 0.0,
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k; all losses are finite.

    A judged step has one trial.
    """
    w = w0.copy()
    moments, momentum = no_moments(w), np.zeros_like(w)
    eta, taken, last_d = init_step, 0.0, w0
    slopes, curvatures = FadingMean(), FadingMean()
    due, mark, mark_eta, judging = 1, 0, 0.0, True
    watched: list[float] = []
    level: tuple[float, float] | None = None
    record: list[Step] = []
    for k in range(steps):
        f0, g = float(losses(k, w)), gradients(k, w)
        assert finite(f0)
        judged = judging and k > 0 and k >= due
        if judged:
            gain = float(losses(k, w + taken * last_d)) - f0
            p_b = float(g @ last_d)
            p_a = 2 * gain / taken - p_b
            curvatures.add((p_a - p_b) / taken, 0.8)
            due = k + max(1, k // 12)
        if judging and k > 0:
            p_a = float(g @ last_d) + curvatures.mean() * taken
            slopes.add(p_a, 0.9 if k < 24 else 0.97)
            if len(curvatures.values) >= 2:
                eta = risen(eta, target_of(slopes, curvatures))
        if not judging:
            watched.append(f0)
            if len(watched) % 20 == 0:
                smooth = FadingMean()
                for loss in watched:
                    smooth.add(loss, 0.95)
                if level is not None:
                    noise = math.sqrt(smooth.error() ** 2 + level[1] ** 2)
                    if smooth.mean() - level[0] > 3 * noise:
                        eta, level, watched = eta / 2, None, []
                elif len(watched) == 40:
                    level = smooth.mean(), smooth.error()
        moments = next_moments(moments, g, betas)
        momentum = betas[0] * momentum + g
        d = adam_direction(moments, betas, eps) if direction == "adam" else momentum
        taken, last_d = eta * anneal_factor(k, total_steps, anneal), d
        w = moved(w, d, taken, weight_decay)
        record.append(Step(w.copy(), eta, float(g @ d), int(judged), math.nan, math.nan))
        if eta > 1.1 * mark_eta:
            mark, mark_eta = k, eta
        if total_steps is not None:
            judging = judging and k + 1 < 0.4 * total_steps
        else:
            judging = judging and k + 1 < max(200, 2 * mark)
    return record
