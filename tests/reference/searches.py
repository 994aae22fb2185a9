"""The backtracking searches: Armijo's condition, its smoothed form, and that by ratio."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def foreseen(
    passes: Callable[[float, float], bool], f0: float, p: float, tried: float, f_tried: float
) -> Callable[[float], bool] | None:
    """Whether η passes on the parabola of f(0), the slope −p and f(tried); None: no descent."""
    if p <= 0:
        return None
    curvature = (f_tried - f0 + p * tried) / tried**2
    return lambda eta: passes(eta, f0 - p * eta + curvature * eta**2)


def next_trial(
    eta: float, shrink: float, passes: Callable[[float], bool] | None, min_step: float = 0.0
) -> float:
    """Of δη, δ²η, … ≥ η/10 the first expected to pass, else the last; δη without a model."""
    candidate = shrink * eta
    while passes is not None and not passes(candidate):
        if shrink * candidate < max(0.1 * eta, min_step):
            break
        candidate = shrink * candidate
    return candidate


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
    interpolate: bool = False,
) -> Found:
    """Shrink η from its start until f(w) − f(w − ηd) ≥ c·η·p."""
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False

    def passes(eta: float, f_trial: float) -> bool:
        return f0 - f_trial + allowance(tolerance, f0, f_trial) >= c * eta * p

    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        model = None
        if finite(f_trial):
            any_finite = True
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, math.nan, any_finite, proved=False)
            if passes(eta, f_trial):
                return Found(True, eta, trial, math.nan, any_finite)
            model = foreseen(passes, f0, p, eta, f_trial) if interpolate else None
        if trial < max_trials:
            eta = next_trial(eta, shrink, model)
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
    interpolate: bool = False,
) -> Found:
    """Shrink η from its start until β3·h + (1−β3)·Δ(η) ≥ c'·η·s, with c' = c if s > 0 else 1/c.

    With `min_step`, a rejected η that may not shrink further is kept if its loss is finite, and
    not above f(w) where the slope promised that it would fall.
    """
    c_prime = c if s > 0 else 1 / c
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False

    def passes(eta: float, f_trial: float) -> bool:
        # The condition forgives what rounding may hide in the decrease; h does not know of it.
        forgiven = f0 - f_trial + allowance(tolerance, f0, f_trial)
        return beta3 * h + (1 - beta3) * forgiven >= c_prime * eta * s

    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        h_try = math.nan
        model = None
        if finite(f_trial):
            any_finite = True
            h_try = beta3 * h + (1 - beta3) * (f0 - f_trial)
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, h_try, any_finite, proved=False)
            if passes(eta, f_trial):
                return Found(True, eta, trial, h_try, any_finite)
            model = foreseen(passes, f0, p, eta, f_trial) if interpolate else None
        if shrink * eta < min_step:
            rises = f_trial > f0 + allowance(tolerance, f0, f_trial)
            kept = finite(f_trial) and not (p > 0 and rises)
            return Found(kept, eta, trial, h_try, any_finite)
        if trial < max_trials:
            eta = next_trial(eta, shrink, model, min_step)
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
    interpolate: bool = False,
) -> Found:
    """Shrink η until the mean decrease is c times the mean of all η·p, this one's in.

    Written as Armijo's condition with what the steps before have left over, or owe.
    """
    left_over = beta3 * (h - c * s) / (1 - beta3)
    eta = start.first_trial(growth)
    tolerance = start.tolerance(tolerance)
    any_finite = False

    def passes(eta: float, f_trial: float) -> bool:
        return left_over + f0 - f_trial + allowance(tolerance, f0, f_trial) >= c * eta * p

    for trial in range(1, max_trials + 1):
        f_trial = float(losses(k, w - eta * d))
        model = None
        if finite(f_trial):
            any_finite = True
            h_try = beta3 * h + (1 - beta3) * (f0 - f_trial)
            if trial == 1 and start.proves_nothing(f0, f_trial, p, eta):
                return Found(True, eta, trial, h_try, any_finite, proved=False)
            if passes(eta, f_trial):
                return Found(True, eta, trial, h_try, any_finite)
            model = foreseen(passes, f0, p, eta, f_trial) if interpolate else None
        if trial < max_trials:
            eta = next_trial(eta, shrink, model)
    return Found(False, eta, max_trials, math.nan, any_finite)
