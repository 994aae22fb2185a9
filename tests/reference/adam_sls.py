"""Adam-SLS (Vaswani et al. 2020, arXiv 2006.06835): searched without momentum, taken with it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from tests.reference.searches import armijo, learn
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
def adam_sls(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    c: float = 0.1,
    init_step: float = 0.1,
    shrink: float = 0.9,
    growth: float = 2.0,
    n_batches_per_epoch: int = 500,
    max_trials: int = 100,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    tolerance: float = 1.0,
    weight_decay: float = 0.0,
    search: Literal["every", "adaptive"] = "every",
    total_steps: int | None = None,
    anneal: float = 0.5,
    max_grad_norm: float | None = None,
    interpolate: bool = False,
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k."""
    w = w0.copy()
    moments = no_moments(w)
    search_start = Start(init_step)
    frequency = SearchFrequency()
    record: list[Step] = []
    for k in range(steps):
        f0, true = float(losses(k, w)), gradients(k, w)
        g = clipped(true, max_grad_norm)
        new_moments = next_moments(moments, g, betas)
        d_searched = momentum_free_direction(new_moments, g, betas, eps)
        d_taken = adam_direction(new_moments, betas, eps)
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
            found = armijo(
                losses, k, w, d_searched, f0=f0, p=p, start=search_start,
                growth=growth ** (1 / n_batches_per_epoch),
                c=c, shrink=shrink, max_trials=max_trials, tolerance=tolerance,
                interpolate=interpolate,
            )  # fmt: skip
            trials = found.trials
            eta = learn(search_start, frequency, found, f0)
        if eta > 0:
            moments = new_moments
            w = moved(w, d_taken, eta * anneal_factor(k, total_steps, anneal), weight_decay)
        record.append(Step(w.copy(), eta, p, trials, math.nan, math.nan))
    return record
