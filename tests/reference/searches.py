"""The backtracking searches: Armijo's condition, its smoothed form, and that by ratio."""

from __future__ import annotations

import math
from typing import NamedTuple

from tests.reference.shared import (
    Losses,
    SearchFrequency,
    Start,
    Vector,
    allowance,
    finite,
)


class Found(NamedTuple):
    """The result of a search: `step` is the last step tested, kept only if `accepted`.

    `h` is that of the last trial, nan without smoothing.
    """

    accepted: bool
    step: float
    trials: int
    h: float
    any_finite: bool  # whether some trial's loss was finite
    proved: bool = True  # False: kept, but neither slope nor decrease could be measured


def learn(start: Start, frequency: SearchFrequency, found: Found, f0: float) -> float:
    """Remember what a search from a loss of f0 has shown; the step to take, 0 for none."""
    if not found.accepted:
        start.failed(found.step)
        return 0.0
    if found.proved:
        start.proved(found.step, found.trials, f0)
        frequency.took(found.step)
    else:
        start.saw(f0)
    return found.step


def armijo(
    losses: Losses,
    k: int,
    w: Vector,
    d: Vector,
    *,
    f0: float,
    p: float,
    start: Start,
    growth: float,
    c: float,
    shrink: float,
    max_trials: int,
    tolerance: float,
) -> Found:
    """Shrink η from its start until f(w) − f(w − ηd) ≥ c·η·p."""
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False
    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        if finite(f_trial):
            any_finite = True
            decrease = f0 - f_trial
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, math.nan, any_finite, proved=False)
            if decrease + allowance(tolerance, f0, f_trial) >= c * eta * p:
                return Found(True, eta, trial, math.nan, any_finite)
        if trial < max_trials:
            eta = shrink * eta
    return Found(False, eta, max_trials, math.nan, any_finite)


def smoothed(
    losses: Losses,
    k: int,
    w: Vector,
    d: Vector,
    *,
    f0: float,
    p: float,
    h: float,
    s: float,
    start: Start,
    growth: float,
    c: float,
    shrink: float,
    beta3: float,
    max_trials: int,
    tolerance: float,
    min_step: float = 0.0,
) -> Found:
    """Shrink η from its start until β3·h + (1−β3)·Δ(η) ≥ c'·η·s, with c' = c if s > 0 else 1/c.

    With `min_step`, a rejected η that may not shrink further is kept if its loss is finite, and
    not above f(w) where the slope promised that it would fall.
    """
    c_prime = c if s > 0 else 1 / c
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False
    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        h_try = math.nan
        if finite(f_trial):
            any_finite = True
            decrease = f0 - f_trial
            h_try = beta3 * h + (1 - beta3) * decrease
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, h_try, any_finite, proved=False)
            # The condition forgives what rounding may hide in the decrease; h does not know of it.
            forgiven = decrease + allowance(tolerance, f0, f_trial)
            if beta3 * h + (1 - beta3) * forgiven >= c_prime * eta * s:
                return Found(True, eta, trial, h_try, any_finite)
        if shrink * eta < min_step:
            rises = f_trial > f0 + allowance(tolerance, f0, f_trial)
            kept = finite(f_trial) and not (p > 0 and rises)
            return Found(kept, eta, trial, h_try, any_finite)
        if trial < max_trials:
            eta = shrink * eta
    return Found(False, eta, max_trials, h_try, any_finite)


def by_ratio(
    losses: Losses,
    k: int,
    w: Vector,
    d: Vector,
    *,
    f0: float,
    h: float,
    s: float,
    p: float,
    start: Start,
    growth: float,
    c: float,
    shrink: float,
    beta3: float,
    max_trials: int,
    tolerance: float,
) -> Found:
    """Shrink η until the mean decrease is c times the mean of all η·p, this one's in.

    Written as Armijo's condition with what the steps before have left over, or owe.
    """
    left_over = beta3 * (h - c * s) / (1 - beta3)
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False
    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        if finite(f_trial):
            any_finite = True
            h_try = beta3 * h + (1 - beta3) * (f0 - f_trial)
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, h_try, any_finite, proved=False)
            forgiven = f0 - f_trial + allowance(tolerance, f0, f_trial)
            if left_over + forgiven >= c * eta * p:
                return Found(True, eta, trial, h_try, any_finite)
        if trial < max_trials:
            eta = shrink * eta
    return Found(False, eta, max_trials, math.nan, any_finite)
