"""Tuning: which learning rate is best; one rule for the sweep and the report. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

Decider = Literal["score", "val_loss"]
"""The number that decides: the task's score, or the validation loss."""


@dataclass(frozen=True)
class Outcome:
    """A rate's final evaluations, mean over its runs; NaN for a missing number."""

    lr: float
    score: float
    score_is_loss: bool
    val_loss: float


def best(outcomes: Sequence[Outcome], decider: Decider) -> Outcome | None:
    """The best of the rates whose deciding number is finite; None if there is no such rate.

    By `score` the best score wins, of equals the lower `val_loss`, then the lower rate; by
    `val_loss` the lowest one, of equals the lower rate.
    """

    def badness(outcome: Outcome) -> tuple[float, ...]:
        if decider == "val_loss":
            return outcome.val_loss, outcome.lr
        score = outcome.score if outcome.score_is_loss else -outcome.score
        return score, outcome.val_loss if math.isfinite(outcome.val_loss) else math.inf, outcome.lr

    candidates = [outcome for outcome in outcomes if math.isfinite(badness(outcome)[0])]
    return min(candidates, key=badness, default=None)


@dataclass(frozen=True)
class Best:
    """The rate that was chosen, and its cost."""

    lr: float
    score: float
    """The deciding number: mean over the seeds of the final score, or of `val_loss`."""
    score_name: str
    runs: int
    steps: int
    """Training steps of all the runs."""


def best_rate(
    trials: Sequence[tuple[float, Mapping[str, Any] | None]], decider: Decider = "score"
) -> Best | str:
    """The best rate of tuning runs, or why there is none.

    `trials` are the rate and the summary of each run, None while it has not ended. Numbers are
    means over the runs of a rate. A rate with a run that diverged or was stuck, or whose deciding
    number is missing, is no candidate.
    """
    by_rate: dict[float, list[Mapping[str, Any]]] = {}
    for lr, summary in trials:
        if summary is not None:
            by_rate.setdefault(lr, []).append(summary)
    summaries = [summary for _, summary in trials if summary is not None]
    if len(summaries) < len(trials):
        return f"{len(trials) - len(summaries)} of {len(trials)} tuning runs have not ended"
    winner = best([_outcome(*item) for item in by_rate.items()], decider)
    if winner is None:
        return f"all {len(trials)} tuning runs diverged or were stuck; try other rates"
    return Best(
        lr=winner.lr,
        score=winner.score if decider == "score" else winner.val_loss,
        score_name=str(summaries[0].get("score", "")) if decider == "score" else "val_loss",
        runs=len(trials),
        steps=sum(summary.get("steps") or 0 for summary in summaries),
    )


def _outcome(lr: float, summaries: Sequence[Mapping[str, Any]]) -> Outcome:
    """The outcome of a rate whose runs have all ended."""
    first = summaries[0]
    return Outcome(
        lr=lr,
        score=fmean(_final(summary, summary.get("score", "")) for summary in summaries),
        # Runs of older versions do not have it; their only score that is a loss is `val_loss`.
        score_is_loss=bool(first.get("score_is_loss", first.get("score") == "val_loss")),
        val_loss=fmean(_final(summary, "val_loss") for summary in summaries),
    )


def _final(summary: Mapping[str, Any], metric: str) -> float:
    """A metric of the final evaluation; NaN where it is missing, and for a run without a result."""
    final = (summary.get("final") or {}) if summary["status"] == "finished" else {}
    value = final.get(metric)
    return math.nan if value is None else float(value)
