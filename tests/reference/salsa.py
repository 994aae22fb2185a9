"""SaLSa (Kenneweg et al. 2024, arXiv 2407.20650): smoothed search without momentum, kept rare."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tests.reference.searches import learn, smoothed
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
    momentum_free_direction,
    moved,
    next_moments,
    no_moments,
)


@np.errstate(over="ignore", invalid="ignore")
def salsa(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    direction: Literal["adam", "sgd"] = "adam",
    c: float = 0.5,
    init_step: float = 1.0,
    shrink: float = 0.8,
    growth: float = 1.1,
    max_trials: int = 100,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float = 0.9,
    eps: float = 1e-8,
    tolerance: float = 1.0,
    weight_decay: float = 0.0,
    search: Literal["every", "adaptive"] = "adaptive",
    total_steps: int | None = None,
    anneal: float = 0.5,
    max_grad_norm: float | None = None,
    interpolate: bool = False,
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k; `growth` is that of one step.

    The defaults are the packaged constants; the paper's are c=0.3, shrink=0.9, beta3=0.99,
    init_step=0.1, growth=2^(1/500).
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
        if direction == "adam":
            d_searched = momentum_free_direction(new_moments, g, betas, eps)
            d_taken = adam_direction(new_moments, betas, eps)
        else:
            d_searched = d_taken = g
        p = float(true @ d_searched)
        eta = 0.0
        trials = 0
        searching = search == "every" or frequency.due(k) or search_start.failed_at is not None
        if searching:
            frequency.searched(k)
        if p == 0:
            pass  # no slope: nothing changes
        elif finite(f0, p) and not searching:
            eta = search_start.last
            frequency.took(eta)
        elif finite(f0, p):
            new_s = beta3 * s + (1 - beta3) * p
            found = smoothed(
                losses, k, w, d_searched, f0=f0, p=p, h=h, s=new_s,
                start=search_start, growth=growth, c=c, shrink=shrink, beta3=beta3,
                max_trials=max_trials, tolerance=tolerance, interpolate=interpolate,
            )  # fmt: skip
            trials = found.trials
            eta = learn(search_start, frequency, found, f0)
            if found.accepted:
                h, s = found.h, new_s
            elif found.any_finite:
                h = s = 0.0
        if eta > 0:
            moments = new_moments
            w = moved(w, d_taken, eta * anneal_factor(k, total_steps, anneal), weight_decay)
        record.append(Step(w.copy(), eta, p, trials, h, s))
    return record
