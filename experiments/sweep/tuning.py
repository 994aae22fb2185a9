"""Which peak rate is best, read off the summaries of tuning runs. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.errors import UserError
from experiments.tuning_rule import badness


class UntunedError(UserError):
    """No rate can be chosen; says why."""


@dataclass(frozen=True)
class Trial:
    """A tuning run: its peak rate, and its summary, None while it has not ended."""

    lr: float
    summary: Mapping[str, Any] | None


@dataclass(frozen=True)
class Best:
    """The rate that was chosen, and what choosing it cost."""

    lr: float
    score: float
    """Mean over the seeds of the final evaluations' score."""
    score_name: str
    runs: int
    steps: int
    """Training steps of all the runs."""


def best_rate(trials: Sequence[Trial]) -> Best:
    """The rate with the best final score; of equals, the one with the lower `val_loss`, then rate.

    Scores are means over the runs of a rate. A rate with a run that diverged, or whose score is
    no number, is no candidate.

    Raises:
        UntunedError: if a run has not ended, or no rate is a candidate.
    """
    summaries = [trial.summary for trial in trials if trial.summary is not None]
    if len(summaries) < len(trials):
        waiting = len(trials) - len(summaries)
        raise UntunedError(f"{waiting} of {len(trials)} tuning runs have not ended")
    candidates = []
    for lr in sorted({trial.lr for trial in trials}):
        of_rate = [trial.summary for trial in trials if trial.lr == lr]
        score = _mean(_final_score(summary) for summary in of_rate)
        loss = _mean(_final(summary, "val_loss") for summary in of_rate)
        if math.isfinite(score):
            lower = _lower_is_better(summaries[0])
            candidates.append((badness(score, loss, lr, lower_is_better=lower), lr, score))
    if not candidates:
        raise UntunedError(f"all {len(trials)} tuning runs diverged; try other rates")
    _, lr, score = min(candidates)
    steps = sum(int(summary["steps"]) for summary in summaries)
    return Best(lr, score, str(summaries[0]["score"]), len(trials), steps)


def _final_score(summary: Mapping[str, Any] | None) -> float:
    """NaN for a run that diverged."""
    if summary is None or summary["status"] != "finished":
        return math.nan
    return _final(summary, summary["score"])


def _final(summary: Mapping[str, Any] | None, metric: str) -> float:
    """A metric of the final evaluation; NaN where there is none, or it was not finite."""
    final = {} if summary is None else summary.get("final")
    value = final.get(metric) if isinstance(final, Mapping) else None
    return math.nan if value is None else float(value)


def _lower_is_better(summary: Mapping[str, Any]) -> bool:
    """Runs of older versions do not say it; their only score that is a loss is `val_loss`."""
    return bool(summary.get("score_is_loss", summary["score"] == "val_loss"))


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)
