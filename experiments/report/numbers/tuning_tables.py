"""The tuning grid and its budget, as they are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.report.numbers.cells import (
    DASH,
    label_cell,
    loss_text,
    row_cell,
    score_text,
    without_repeats,
)
from experiments.report.numbers.tuning_grid import Point, grid
from experiments.report.numbers.tuning_terms import terms
from experiments.report.read.records import Results, RunRecord
from experiments.report.titles import label_title, score_title
from experiments.report.write.document import Cell, Table


def grid_table(results: Results) -> Table:
    """The whole grid: what every rate gave."""
    points = grid(results)
    held_out = all(point.hold_out for point in points)
    loss = "held-out loss" if held_out else "validation loss"
    return Table(
        key="tuning-grid",
        title="The tuning grid",
        caption=f"Every rate that was tried. {terms(points)} The winner is in bold. Optimizers "
        "without a rate were not tuned; they are shown for reference.",
        columns=("row", "optimizer", "rate", "n", "score", "training loss", loss),
        rows=without_repeats([_grid_row(point) for point in points]),
    )


def _grid_row(point: Point) -> tuple[Cell, ...]:
    bold = point.winner
    finished = sum(run.status == "finished" for run in point.runs)
    score = Cell(_outcome(point), bold, note="" if finished == 0 else _score_note(point))
    losses = [
        Cell(DASH if math.isnan(loss) else loss_text(loss), bold)
        for loss in (point.train_loss, point.val_loss)
    ]
    rate = Cell("none" if math.isnan(point.lr) else f"{point.lr:g}", bold)
    count = Cell(str(finished), note=_others(point))
    return row_cell(point.row), label_cell(point.label), rate, count, score, *losses


def _outcome(point: Point) -> str:
    if math.isfinite(point.score):
        return score_text(point.runs[0], point.score)
    ends = {run.status for run in point.runs}
    return next((end for end in ("diverged", "stuck") if end in ends), "missing")


def _score_note(point: Point) -> str:
    return "" if point.runs[0].score == "accuracy" else score_title(point.runs[0].score)


def _others(point: Point) -> str:
    """What became of the runs that did not finish."""
    counts = {
        status: sum(run.status == status for run in point.runs)
        for status in ("diverged", "stuck", "unfinished")
    }
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def budget(results: Results) -> tuple[str, ...]:
    """What the tuning cost, in sentences; that there was none is one too."""
    spent: dict[str, list[RunRecord]] = {}
    references: list[RunRecord] = []
    for point in grid(results):
        if math.isnan(point.lr):
            references += point.runs
        else:
            spent.setdefault(point.label, []).extend(point.runs)
    if not spent:
        return ("There are no tuning runs here: no optimizer's rate was tuned.",)
    sentences = [
        f"Tuning {label_title(label)} took {_cost(runs)}." for label, runs in spent.items()
    ]
    compared = [run for run in results.runs if run.stage == "comparison"]
    searches = sorted(
        {label_title(run.label) for run in compared if "lr" not in run.config["optimizer"]}
    )
    told = f" ({', '.join(searches)})" if searches else ""
    sentences.append(f"The line searches{told} were not tuned: 0 runs.")
    if references:
        sentences.append(
            f"{_cost(references)} of optimizers without a rate to tune, on the same examples, are "
            "the reference lines; nothing was chosen by them."
        )
    return tuple(sentences)


def _cost(runs: Sequence[RunRecord]) -> str:
    steps = sum(_steps(run) for run in runs)
    seconds = sum(_seconds(run) for run in runs)
    counted = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"{counted}, {steps:,} steps and {duration(seconds)} of training"


def _steps(run: RunRecord) -> int:
    return int(run.steps["step"].iloc[-1]) if len(run.steps) else 0


def _seconds(run: RunRecord) -> float:
    return float(run.steps["seconds"].iloc[-1]) if len(run.steps) else 0.0


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
