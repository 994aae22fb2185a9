"""ALSALS (Kenneweg et al. 2024, arXiv 2403.18519): smoothed search along Adam with momentum."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tests.reference.searches import by_ratio, learn, smoothed
from tests.reference.shared import (
    Gradients,
    Losses,
    SearchFrequency,
    Start,
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


def finite_difference(losses: Losses, k: int, w: Vector, d: Vector, f0: float) -> float:
    """(f(w) − f(w − εd))/ε with ε = 5e-9, ten times larger while it is exactly zero and ε ≤ 1."""
    epsilon = 5e-9
    p = (f0 - float(losses(k, w - epsilon * d))) / epsilon
    while p == 0 and 10 * epsilon <= 1:
        epsilon = 10 * epsilon
        p = (f0 - float(losses(k, w - epsilon * d))) / epsilon
    return p


@np.errstate(over="ignore", invalid="ignore")
def alsals(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    c: float = 0.3,
    init_step: float = 0.1,
    shrink: float = 0.9,
    growth: float = 1 / 0.999,
    max_trials: int = 100,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float = 0.99,
    eps: float = 1e-8,
    smoothing: Literal["paper", "ratio"] = "paper",
    slope: Literal["exact", "finite_difference"] = "exact",
    min_step: float = 0.0,
    tolerance: float = 1.0,
    weight_decay: float = 0.0,
    search: Literal["every", "adaptive"] = "every",
    total_steps: int | None = None,
    anneal: float = 0.5,
    max_grad_norm: float | None = None,
    interpolate: bool = False,
    scales: float | Vector = 1.0,
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k; `scales` multiply d and λ.

    A step without a search needs no slope; it records the exact one, whatever `slope` says.
    Smoothing by ratio knows no `min_step`.
    """
    w = w0.copy()
    moments = no_moments(w)
    h = s = 0.0
    search_start = Start(init_step)
    frequency = SearchFrequency()
    record: list[Step] = []
    for k in range(steps):
        f0, true = float(losses(k, w)), gradients(k, w)
        g = clipped(true, max_grad_norm)
        new_moments = next_moments(moments, g, betas)
        d = scales * adam_direction(new_moments, betas, eps)
        searching = search == "every" or frequency.due(k) or search_start.failed_at is not None
        if searching:
            frequency.searched(k)
        p = float(true @ d)
        if searching and slope == "finite_difference" and p != 0:
            p = finite_difference(losses, k, w, d, f0)
        eta = 0.0
        trials = 0
        if p == 0:
            pass  # no slope: nothing changes
        elif finite(f0, p) and not searching:
            eta = search_start.last
            frequency.took(eta)
        elif finite(f0, p) and smoothing == "ratio":
            found = by_ratio(
                losses, k, w, d, f0=f0, h=h, s=s, p=p, start=search_start, growth=growth,
                c=c, shrink=shrink, beta3=beta3, max_trials=max_trials, tolerance=tolerance,
                interpolate=interpolate,
            )  # fmt: skip
            trials = found.trials
            eta = learn(search_start, frequency, found, f0)
            if found.accepted:
                h, s = found.h, beta3 * s + (1 - beta3) * eta * p
            elif found.any_finite:
                h = s = 0.0
        elif finite(f0, p):
            new_s = beta3 * s + (1 - beta3) * p
            found = smoothed(
                losses, k, w, d, f0=f0, p=p, h=h, s=new_s, start=search_start, growth=growth,
                c=c, shrink=shrink, beta3=beta3, max_trials=max_trials, tolerance=tolerance,
                interpolate=interpolate,
                min_step=min_step,
            )  # fmt: skip
            trials = found.trials
            eta = learn(search_start, frequency, found, f0)
            if found.accepted:
                h, s = found.h, new_s
            elif found.any_finite:
                h = s = 0.0
        if eta > 0:
            moments = new_moments
            w = moved(w, d, eta * anneal_factor(k, total_steps, anneal), scales * weight_decay)
        record.append(Step(w.copy(), eta, p, trials, h, s))
    return record
