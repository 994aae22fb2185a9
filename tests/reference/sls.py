"""SLS (Vaswani et al. 2019, arXiv 1905.09997): SGD with Armijo's condition on the mini-batch."""

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
    allowance,
    anneal_factor,
    clipped,
    finite,
    moved,
)

FALLBACK_STEP = 1e-6
"""Taken when a search is exhausted, unless it raises the loss."""


@np.errstate(over="ignore", invalid="ignore")
def sls(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    c: float = 0.1,
    init_step: float = 1.0,
    shrink: float = 0.9,
    growth: float = 2.0,
    n_batches_per_epoch: int = 500,
    max_trials: int = 100,
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
    search_start = Start(init_step)
    frequency = SearchFrequency()
    record: list[Step] = []
    for k in range(steps):
        f0, true = float(losses(k, w)), gradients(k, w)
        g = clipped(true, max_grad_norm)
        p = float(true @ g)
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
                losses, k, w, g, f0=f0, p=p, start=search_start,
                growth=growth ** (1 / n_batches_per_epoch),
                c=c, shrink=shrink, max_trials=max_trials, tolerance=tolerance,
                interpolate=interpolate,
            )  # fmt: skip
            trials = found.trials
            # The fallback is forgiven what the search was, which looks at the searches before.
            forgiving = search_start.tolerance(tolerance)
            eta = learn(search_start, frequency, found, f0)
            if not found.accepted and found.any_finite:
                fallback = min(FALLBACK_STEP, found.step)
                f_fallback = float(losses(k, w - fallback * g))
                if f_fallback <= f0 + allowance(forgiving, f0, f_fallback):
                    eta = fallback
        if eta > 0:
            w = moved(w, g, eta * anneal_factor(k, total_steps, anneal), weight_decay)
        record.append(Step(w.copy(), eta, p, trials, math.nan, math.nan))
    return record
