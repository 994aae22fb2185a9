"""PLASLS (Kenneweg et al. 2023, arXiv 2403.18506): Adam-SLS with a step for each unit, in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.reference.searches import Found, armijo
from tests.reference.shared import (
    Gradients,
    Losses,
    SearchFrequency,
    Start,
    Step,
    Vector,
    adam_direction,
    anneal_factor,
    finite,
    momentum_free_direction,
    next_moments,
    no_moments,
)

SHARED_STEPS = 6


@np.errstate(over="ignore", invalid="ignore")
def plasls(
    losses: Losses,
    gradients: Gradients,
    w0: Vector,
    steps: int,
    *,
    sizes: Sequence[int],
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
) -> list[Step]:
    """Run `steps` steps from `w0`, step k on mini-batch k.

    The units lie one after the other in w, with these sizes; all have a gradient that is not zero.
    """
    unit_of = np.repeat(np.arange(len(sizes)), sizes)
    w = w0.copy()
    moments = no_moments(w)
    starts = [Start(init_step) for _ in sizes]
    frequencies = [SearchFrequency() for _ in sizes]
    last_search = [-1 for _ in sizes]
    succeeded = False
    record: list[Step] = []
    for k in range(steps):
        f0, g = float(losses(k, w)), gradients(k, w)
        new_moments = next_moments(moments, g, betas)
        d_searched = momentum_free_direction(new_moments, g, betas, eps)
        d_taken = adam_direction(new_moments, betas, eps)

        due = [
            u
            for u in range(len(sizes))
            if search == "every" or frequencies[u].due(k) or starts[u].failed_at is not None
        ]
        together = k < SHARED_STEPS or not succeeded
        oldest = min(due or range(len(sizes)), key=lambda u: last_search[u])
        turn = list(range(len(sizes))) if together else [oldest]
        in_turn = np.isin(unit_of, turn)
        d_trial = np.where(in_turn, d_searched, 0.0)
        p = float(g @ d_trial)

        moves, trials = finite(f0, float(g @ d_searched)), 0
        found: Found | None = None
        if due and moves:
            for u in turn:
                frequencies[u].searched(k)
                last_search[u] = k
            found = armijo(
                losses, k, w, d_trial, f0=f0, p=p, start=starts[turn[0]],
                growth=growth ** (1 / n_batches_per_epoch),
                c=c, shrink=shrink, max_trials=max_trials, tolerance=tolerance,
            )  # fmt: skip
            moves, trials = found.accepted, found.trials
            for u in turn:
                if not found.accepted:
                    starts[u].failed(found.step)
                elif found.proved:
                    starts[u].proved(found.step, found.trials, f0)
                    frequencies[u].took(found.step)
            if found.accepted:
                starts[turn[0]].saw(f0) if not found.proved else None
                for start in starts:
                    start.level = starts[turn[0]].level
        if moves:
            succeeded = True
            moments = new_moments
            etas = np.array([start.last for start in starts])
            if found is not None:
                etas[turn] = found.step
            for u in range(len(sizes)):
                if found is None or u not in turn:
                    frequencies[u].took(etas[u])
            taken = etas[unit_of] * anneal_factor(k, total_steps, anneal)
            w = w - taken * d_taken - taken * weight_decay * w
            eta = float(etas[turn[0]])
        else:
            eta = 0.0
        record.append(Step(w.copy(), eta, p, trials, math.nan, math.nan))
    return record
