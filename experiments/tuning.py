"""Which of two rates is better: one rule for the sweep that chooses and the report that shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Decider = Literal["score", "val_loss"]
"""The number that decides: the task's score, or the validation loss."""


@dataclass(frozen=True)
class Outcome:
    """What a rate gave in the final evaluations, mean over its runs; NaN for what it has not."""

    lr: float
    score: float
    score_is_loss: bool
    val_loss: float


def best(outcomes: Sequence[Outcome], decider: Decider) -> Outcome | None:
    """The best of the rates whose deciding number is finite; None if there is no such rate.

    By `score` the best score wins, of equals the lower `val_loss`, then the lower rate; by
    `val_loss` the lowest one, of equals the lower rate.
    """
    badness = _BADNESS[decider]
    candidates = [outcome for outcome in outcomes if math.isfinite(badness(outcome)[0])]
    return min(candidates, key=badness, default=None)


def _by_score(outcome: Outcome) -> tuple[float, ...]:
    score = outcome.score if outcome.score_is_loss else -outcome.score
    return score, outcome.val_loss if math.isfinite(outcome.val_loss) else math.inf, outcome.lr


def _by_val_loss(outcome: Outcome) -> tuple[float, ...]:
    return outcome.val_loss, outcome.lr


_BADNESS: Mapping[Decider, Callable[[Outcome], tuple[float, ...]]] = {
    "score": _by_score,
    "val_loss": _by_val_loss,
}
