"""The backtracking loop, over a plain function of the step. No torch.

From a start `η₀`, while the condition fails, `η ← δ·η` (Armijo, 1966).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a search ended."""

    ACCEPTED = "accepted"
    """The condition held for the step."""
    FLOOR = "floor"
    """The condition failed, but the next step would have been below the least one; kept."""
    EXHAUSTED = "exhausted"
    """No trial was accepted; at least one of their losses was finite."""
    NONFINITE = "nonfinite"
    """No trial was accepted; none of their losses was finite."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The last trial of a search, and how the search ended.

    Attributes:
        step_size: the step `η` of the last trial.
        loss: its loss `f(w − η·d)`.
        trials: the number of trials made, at least 1.
        outcome: whether the last trial is to be kept (`ACCEPTED`, `FLOOR`) or not.
    """

    step_size: float
    loss: float
    trials: int
    outcome: Outcome

    @property
    def kept(self) -> bool:
        """Whether the last trial is the point to stay at."""
        return self.outcome in (Outcome.ACCEPTED, Outcome.FLOOR)


def backtrack(
    loss_at: Callable[[float], float],
    holds: Callable[[float, float], bool],
    *,
    start: float,
    shrink: float,
    max_trials: int,
    min_step: float = 0.0,
    too_small: Callable[[float], bool] = lambda _step_size: False,
) -> SearchResult:
    """Shrink the step from `start` until the condition holds.

    Args:
        loss_at: the loss after a step of this size; evaluated once a trial.
        holds: the condition, of a step and its loss; only asked about finite losses.
        start: the first step tried, `η₀ > 0`.
        shrink: `δ` in (0, 1).
        max_trials: the greatest number of trials.
        min_step: a rejected step whose successor `δ·η` would lie below this is kept, if its
            loss is finite. 0 switches this off.
        too_small: whether a step can no longer move the parameters; the search ends before it.

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
            return SearchResult(step_size, loss, trial, Outcome.ACCEPTED)
        at_floor = shrink * step_size < min_step
        if at_floor and finite:
            return SearchResult(step_size, loss, trial, Outcome.FLOOR)
        if at_floor or trial == max_trials or too_small(shrink * step_size):
            break
        step_size *= shrink
    outcome = Outcome.EXHAUSTED if any_finite else Outcome.NONFINITE
    return SearchResult(step_size, loss, trial, outcome)
