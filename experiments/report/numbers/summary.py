"""What the numbers say and what they do not, in plain words, before anything else."""

from __future__ import annotations

import math
from collections import Counter

from experiments.report.numbers.cells import (
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    Comparison,
    Measure,
    loss_text,
)
from experiments.report.numbers.outcomes import counts, missing_cells, not_started
from experiments.report.numbers.published import load
from experiments.report.numbers.significance import (
    ALPHA,
    cannot_decide,
    difference,
    log_loss_differences,
    smallest_p,
    verdict,
)
from experiments.report.titles import label_title, row_title


def summary(comparison: Comparison) -> tuple[str, ...]:
    """A few sentences for who reads nothing else."""
    return (*_how_many(comparison), *_what(comparison), *_what_not(comparison))


def _how_many(comparison: Comparison) -> list[str]:
    runs = comparison.results.runs
    compared = [run for run in runs if run.stage == "comparison"]
    tuning = [run for run in runs if run.stage == "tuning"]
    others = len(runs) - len(compared) - len(tuning)
    told = f"Comparison: {counts(compared, not_started(comparison))}."
    told += f" Tuning: {counts(tuning)}." if tuning else " Tuning: none."
    if others:
        told += f" {others} further runs belong to no plan and are in runs.csv only."
    return [told]


# ----------------------------------------------------------------------------- what can be said


def _what(comparison: Comparison) -> list[str]:
    said = [
        _most_wins(comparison, FINAL_SCORE, "Best mean final score"),
        _most_wins(comparison, FINAL_TRAIN_LOSS, "Lowest mean final training loss"),
    ]
    return [sentence for sentence in said if sentence] + _ratios(comparison)


def _most_wins(comparison: Comparison, measure: Measure, what: str) -> str:
    """`…: alsals in 3 of 5 rows, adam in 2`, over rows with at least two results."""
    winners: list[str] = []
    for row in comparison.rows:
        labels = [x for x in comparison.labels if comparison.sample(row, x, measure).n]
        if len(labels) > 1:
            best = comparison.best_label(row, labels, measure)
            winners += [] if best is None else [best]
    if not winners:
        return ""
    ranked = sorted(Counter(winners).items(), key=lambda item: (-item[1], item[0]))
    rows = "1 row" if len(winners) == 1 else f"{len(winners)} rows"
    (first, most), *others = [(label_title(label), count) for label, count in ranked]
    listed = [f"{first} in {most} of {rows}", *(f"{label} in {count}" for label, count in others)]
    return f"{what}: {', '.join(listed)}."


def _ratios(comparison: Comparison) -> list[str]:
    told = []
    for label in comparison.labels:
        values = list(log_loss_differences(comparison, label).values())
        if values:
            told.append(f"{label_title(label)} {loss_text(math.exp(difference(values).mean))}")
    if not told:
        return []
    tuned = any(
        run.stage == "tuning" and run.optimizer == "adam" for run in comparison.results.runs
    )
    adam = "the tuned Adam's" if tuned else "Adam's (which was not tuned here)"
    return [
        f"Final training loss as a multiple of {adam}, geometric mean over the rows that both "
        f"have: {', '.join(told)}."
    ]


# -------------------------------------------------------------------------- what cannot be said


def _what_not(comparison: Comparison) -> list[str]:
    return [*_seeds(comparison), *_rows(comparison), *_gaps(comparison), *_scale(comparison)]


def _seeds(comparison: Comparison) -> list[str]:
    """The most pairs by seed that a comparison with Adam has, and whether they can decide."""
    pairs = 0
    for row in comparison.rows:
        baseline = comparison.baseline(row)
        if baseline is not None:
            seeds = {run.seed for run in comparison.finished(row, baseline)}
            for label in comparison.labels:
                if label != baseline:
                    mine = {run.seed for run in comparison.finished(row, label)}
                    pairs = max(pairs, len(seeds & mine))
    if pairs == 0:
        return ["There is no finished Adam to compare with by seed, so nothing is tested."]
    if smallest_p(pairs) > ALPHA:
        return [f"What cannot be concluded: within a row, {cannot_decide(pairs)}."]
    return []


def _rows(comparison: Comparison) -> list[str]:
    """What the test over rows says of each label."""
    said: dict[str, list[str]] = {}
    for label in comparison.labels:
        values = list(log_loss_differences(comparison, label).values())
        if values:
            found = difference(values)
            said.setdefault(verdict(found, higher_is_better=False, unit="row"), []).append(
                label_title(label)
            )
    return [
        f"Training loss against Adam over all rows ({', '.join(titles)}): {words}."
        for words, titles in said.items()
    ]


def _gaps(comparison: Comparison) -> list[str]:
    gaps = missing_cells(comparison)
    if not gaps:
        return []
    listed = ", ".join(f"{row_title(row)} with {label_title(label)}" for row, label in gaps[:8])
    more = f" and {len(gaps) - 8} more" if len(gaps) > 8 else ""
    cells = "1 planned cell has" if len(gaps) == 1 else f"{len(gaps)} planned cells have"
    return [f"{cells} no result yet: {listed}{more}."]


def _scale(comparison: Comparison) -> list[str]:
    small = [row_title(row) for row in comparison.rows if row in load().twins]
    if not small:
        return []
    twins = "is a small twin of a row" if len(small) == 1 else "are small twins of rows"
    return [
        f"{', '.join(small)} {twins} of the papers: the numbers cannot be compared with the "
        "published ones."
    ]
