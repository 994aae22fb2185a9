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
    clipped,
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
    """η* = (p̄ − se_p)/(q̄ + se_q)."""
    p = slopes.mean() - slopes.error()
    q = curvatures.mean() + curvatures.error()
    if p <= 0:
        return 0.0
    return math.inf if q <= 0 else p / q


def faded(values: list[float]) -> float:
    """Σ 0.8ⁱ x over the values, the last with i = 0."""
    return sum(0.8**i * x for i, x in enumerate(reversed(values)))


def settled(eta: float, slopes: list[float], window: int, seen: bool) -> float:
    """η·exp(1.5/8/(1 + window/6)·(n + 0.5)), by ×1/1.02 to ×1.02; ×1.1 or ×1/1.02 if not seen."""
    n = faded(slopes) / faded([abs(s) for s in slopes])
    if not seen:
        return eta * 1.1 if n > -0.5 else eta / 1.02
    return eta * min(max(math.exp(1.5 / 8 / (1 + window / 6) * (n + 0.5)), 1 / 1.02), 1.02)


def peak_sls(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    total_steps: int | None = None,
    anneal: float = 0.5,
    direction: Literal["adam", "sgd"] = "adam",
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    init_step: float = 1e-4,
    weight_decay: float = 0.0,
    max_grad_norm: float | None = None,
    scales: float | Vector = 1.0,
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k; all losses are finite.

    `scales` multiply d and λ. A judged step has one trial.
    """
    w = w0.copy()
    moments, momentum = no_moments(w), np.zeros_like(w)
    eta, taken = init_step, 0.0
    phase, seen, doubts, judgements = "rising", False, 0, 0
    slopes, curvatures = FadingMean(), FadingMean()
    backward: list[float] = []  # ⟨g, moved since the anchor⟩ of every settling step
    since = np.zeros_like(w)  # what the directions have moved since the anchor, decayed
    place = window = 0
    watched: list[float] = []
    level: tuple[float, float] | None = None
    record: list[Step] = []
    for k in range(steps):
        f0, true = float(losses(k, w)), gradients(k, w)
        g = clipped(true, max_grad_norm)
        assert finite(f0)
        judged = phase == "rising" and k > 0
        if judged:
            gain = float(losses(k, w + since)) - f0
            p_b = float(true @ since) / taken
            p_a = 2 * gain / taken - p_b
            curvatures.add((p_a - p_b) / taken, 0.8)
            slopes.add(p_b + curvatures.mean() * taken, 0.9)
            judgements += 1
            place = 0
            if judgements >= 2:
                target = target_of(slopes, curvatures)
                doubts += target == 0
                if math.isinf(target):
                    eta = 1.2 * eta
                elif eta < 0.3 * target:
                    eta = min(1.4 * eta, 0.3 * target)
                if 0 < 0.3 * target <= eta:
                    phase, seen = "settling", True
                elif doubts >= 12 or judgements >= 60:
                    phase = "settling"
        elif phase == "settling":
            backward.append(float(true @ since))
            eta = settled(eta, backward, window, seen)
            if place == 8:
                place, window = 0, window + 1
        elif phase == "held":
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
        d = scales * (adam_direction(moments, betas, eps) if direction == "adam" else momentum)
        taken = eta * anneal_factor(k, total_steps, anneal)
        if place == 0:
            since = np.zeros_like(w)
        since = (1 - taken * scales * weight_decay) * since + taken * d
        w = moved(w, d, taken, scales * weight_decay)
        place += 1
        record.append(Step(w.copy(), eta, float(true @ d), int(judged), math.nan, math.nan))
        if window == 8 or (total_steps is not None and k + 1 >= 0.4 * total_steps):
            phase = "held"
    return record
