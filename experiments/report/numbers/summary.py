"""The conclusions of a report, and their limits, in plain words."""

from __future__ import annotations

import math
from collections import Counter

from experiments.report.numbers.cells import FINAL_SCORE, FINAL_TRAIN_LOSS, Comparison, loss_text
from experiments.report.numbers.outcomes import counts, not_started
from experiments.report.numbers.published import load
from experiments.report.numbers.significance import (
    ALPHA,
    loss_ratios,
    numbers_of_pairs,
    smallest_p,
    too_few,
)
from experiments.report.titles import counted, label_title, row_title


def summary(comparison: Comparison) -> tuple[str, ...]:
    """A short summary: the runs, the results, and what cannot be concluded from them."""
    sentences = [
        _runs(comparison),
        _most_wins(comparison, FINAL_SCORE, "Best mean final score"),
        _most_wins(comparison, FINAL_TRAIN_LOSS, "Lowest mean final training loss"),
        *_loss_ratios(comparison),
        _seeds(comparison),
        *_verdicts(comparison),
        _gaps(comparison),
        _scale(comparison),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _runs(comparison: Comparison) -> str:
    compared, tuning = comparison.runs["run"], comparison.tuning["run"]
    others = len(comparison.results.runs) - len(compared) - len(tuning)
    more = f" {others} further runs belong to no plan and are in runs.csv only." if others else ""
    return (
        f"Comparison: {counts(compared, not_started(comparison))}. "
        f"Tuning: {counts(tuning) if len(tuning) else 'none'}.{more}"
    )


def _most_wins(comparison: Comparison, measure: str, what: str) -> str:
    """`…: alsals in 3 of 5 rows, adam in 2`, over rows with at least two results."""
    results = comparison.means(measure).count(axis="columns")
    rows = [row for row in comparison.rows if results[row] > 1]
    if not rows:
        return ""
    winners = Counter(str(comparison.best_label(row, measure, comparison.labels)) for row in rows)
    (first, most), *others = sorted(winners.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{label_title(first)} in {most} of {counted(len(rows), 'row')}"]
    listed += [f"{label_title(label)} in {count}" for label, count in others]
    return f"{what}: {', '.join(listed)}."


def _loss_ratios(comparison: Comparison) -> list[str]:
    ratios = [
        f"{label_title(label)} {loss_text(math.exp(found.mean))}"
        for label, found in loss_ratios(comparison).items()
    ]
    if not ratios:
        return []
    is_tuned = (comparison.tuning["optimizer"] == "adam").any()
    adam = "the tuned Adam's" if is_tuned else "Adam's (which was not tuned here)"
    return [
        f"Final training loss as a multiple of {adam}, geometric mean over the rows that both "
        f"have: {', '.join(ratios)}."
    ]


# -------------------------------------------------------------------- what cannot be concluded


def _seeds(comparison: Comparison) -> str:
    """Whether the most seeds that a label shares with Adam are enough."""
    most = max(numbers_of_pairs(comparison), default=0)
    if most == 0:
        return "There is no finished Adam to compare with by seed, so nothing is tested."
    if smallest_p(most) > ALPHA:
        return f"What cannot be concluded: within a row, {too_few(most)}."
    return ""


def _verdicts(comparison: Comparison) -> list[str]:
    """The verdicts of the test over rows, each with its labels."""
    titles: dict[str, list[str]] = {}
    for label, found in loss_ratios(comparison).items():
        verdict = found.verdict(higher_is_better=False, unit="row")
        titles.setdefault(verdict, []).append(label_title(label))
    return [
        f"Training loss against Adam over all rows ({', '.join(names)}): {verdict}."
        for verdict, names in titles.items()
    ]


def _gaps(comparison: Comparison) -> str:
    """The planned cells without a single run that came to an end."""
    gaps = [
        (cell.row, cell.label)
        for cell in comparison.results.planned
        if (comparison.cell(cell.row, cell.label)["status"] == "unfinished").all()
    ]
    if not gaps:
        return ""
    listed = ", ".join(f"{row_title(row)} with {label_title(label)}" for row, label in gaps[:8])
    more = f" and {len(gaps) - 8} more" if len(gaps) > 8 else ""
    verb = "has" if len(gaps) == 1 else "have"
    return f"{counted(len(gaps), 'planned cell')} {verb} no result yet: {listed}{more}."


def _scale(comparison: Comparison) -> str:
    small = [row_title(row) for row in comparison.rows if row in load()["twins"]]
    if not small:
        return ""
    twins = "is a small twin of a row" if len(small) == 1 else "are small twins of rows"
    return (
        f"{', '.join(small)} {twins} of the papers: the numbers cannot be compared with the "
        "published ones."
    )
