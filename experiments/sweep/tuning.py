"""Which peak rate is best, read off the summaries of tuning runs. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.errors import UserError
from experiments.tuning import Decider, Outcome, best


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
    """What decided: the mean over the seeds of the final evaluations' score, or `val_loss`."""
    score_name: str
    runs: int
    steps: int
    """Training steps of all the runs."""


def best_rate(trials: Sequence[Trial], decider: Decider = "score") -> Best:
    """The rate that is best by `tuning`.

    Numbers are means over the runs of a rate. A rate with a run that diverged or was stuck, or
    whose deciding number is none, is no candidate.

    Raises:
        UntunedError: if a run has not ended, or no rate is a candidate.
    """
    summaries = [trial.summary for trial in trials if trial.summary is not None]
    if len(summaries) < len(trials):
        waiting = len(trials) - len(summaries)
        raise UntunedError(f"{waiting} of {len(trials)} tuning runs have not ended")
    found = best([_outcome(lr, trials) for lr in {trial.lr for trial in trials}], decider)
    if found is None:
        raise UntunedError(f"all {len(trials)} tuning runs diverged or were stuck; try other rates")
    name = str(summaries[0].get("score", "")) if decider == "score" else "val_loss"
    number = found.score if decider == "score" else found.val_loss
    steps = sum(int(summary.get("steps") or 0) for summary in summaries)
    return Best(found.lr, number, name, len(trials), steps)


def _outcome(lr: float, trials: Sequence[Trial]) -> Outcome:
    """Of a rate whose runs have all ended."""
    summaries = [t.summary for t in trials if t.lr == lr and t.summary is not None]
    return Outcome(
        lr=lr,
        score=_mean(_final(summary, summary.get("score", "")) for summary in summaries),
        score_is_loss=_lower_is_better(summaries[0]),
        val_loss=_mean(_final(summary, "val_loss") for summary in summaries),
    )


def _final(summary: Mapping[str, Any], metric: str) -> float:
    """A metric of the final evaluation; NaN where there is none, and for a run without a result."""
    final = summary.get("final") if summary["status"] == "finished" else None
    value = final.get(metric) if isinstance(final, Mapping) else None
    return math.nan if value is None else float(value)


def _lower_is_better(summary: Mapping[str, Any]) -> bool:
    """Runs of older versions do not say it; their only score that is a loss is `val_loss`."""
    return bool(summary.get("score_is_loss", summary.get("score") == "val_loss"))


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)
