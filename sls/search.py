"""Backtracking: shrinks the step until a condition holds, and decides when to stop. No torch.

From a start `η₀`, while the condition fails, `η ← δ·η` (Armijo, 1966). By option, powers of δ are
skipped that a parabola rejects, as in safeguarded interpolation (Nocedal and Wright, 2006, 3.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sls.record import Status

LEAST_SHARE = 0.1
"""Of the last trial: the parabola of a trial that is far away says little of what is near."""

Foresees = Callable[[float, float, float], bool]
"""Whether a smaller step would be rejected, as the last trial and its loss let expect."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The last trial of a search, and how the search ended.

    Attributes:
        step_size: the step `η` of the last trial.
        loss: its loss `f(w − η·d)`.
        trials: the number of trials made, at least 1.
        status: how the search ended; the last trial is kept where `status.moved`.
    """

    step_size: float
    loss: float
    trials: int
    status: Status


def never(step_size: float, tried: float, loss: float) -> bool:
    """Foresee nothing: no step is skipped."""
    return False


def decrease_of_parabola(step_size: float, slope: float, tried: float, decrease: float) -> float:
    """`Δ(η) = p·η − (p·η₁ − Δ₁)·(η/η₁)²`: the parabola with slope p at 0 and Δ₁ at η₁.

    Args:
        step_size: η.
        slope: p.
        tried: η₁, the step of a trial.
        decrease: Δ₁, how far the loss fell there.
    """
    return slope * step_size - (slope * tried - decrease) * (step_size / tried) ** 2


def backtrack(
    loss_at: Callable[[float], float],
    holds: Callable[[float, float], bool],
    *,
    start: float,
    shrink: float,
    max_trials: int,
    min_step: float = 0.0,
    too_small: Callable[[float], bool] = lambda _step_size: False,
    would_fail: Foresees = never,
) -> SearchResult:
    """The last trial of a search that shrinks the step from `start` until the condition holds.

    Its status is `ACCEPTED`, `FLOOR`, `EXHAUSTED`, or `NONFINITE_TRIALS` where no loss was finite.

    Args:
        loss_at: the loss after a step of this size; evaluated once per trial.
        holds: the condition, given a step and its loss; called with finite losses only.
        start: the first step tried, `η₀ > 0`.
        shrink: `δ` in (0, 1).
        max_trials: the greatest number of trials.
        min_step: a rejected step whose successor `δ·η` would lie below this is kept, if its
            loss is finite. 0 switches this off.
        too_small: whether a step can no longer move the parameters; the search ends before it.
        would_fail: whether a step need not be tried; called with it, and with the step and the
            finite loss of the last trial.

    Returns:
        The last trial. A loss that is NaN or infinite is a rejected trial.
    """
    step_size = start
    any_finite = False
    for trial in range(1, max_trials + 1):
        loss = loss_at(step_size)
        finite = math.isfinite(loss)
        any_finite = any_finite or finite
        if finite and holds(step_size, loss):
            return SearchResult(step_size, loss, trial, Status.ACCEPTED)
        at_floor = shrink * step_size < min_step
        if at_floor and finite:
            return SearchResult(step_size, loss, trial, Status.FLOOR)
        if at_floor or trial == max_trials or too_small(shrink * step_size):
            break
        tried, step_size = step_size, shrink * step_size
        least = max(LEAST_SHARE * tried, min_step)
        while finite and shrink * step_size >= least and not too_small(shrink * step_size):
            if not would_fail(step_size, tried, loss):
                break
            step_size *= shrink
    status = Status.EXHAUSTED if any_finite else Status.NONFINITE_TRIALS
    return SearchResult(step_size, loss, trial, status)
