"""How much tuning the baselines had: the whole grid, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from experiments.report.cells import (
    DASH,
    final,
    label_cell,
    loss_text,
    row_cell,
    score_text,
    without_repeats,
)
from experiments.report.document import Cell, Table
from experiments.report.records import Results, RunRecord
from experiments.report.titles import label_title, score_title
from experiments.tuning_rule import badness

COLUMNS = (
    "row",
    "label",
    "lr",
    "score",
    "score_name",
    "score_is_loss",
    "train_loss",
    "val_loss",
    "winner",
    "diverged",
)


@dataclass(frozen=True)
class Point:
    """The runs of one optimizer and rate in one row; numbers are means over finished runs."""

    row: str
    label: str
    lr: float
    """NaN for a line search, which has none."""
    runs: tuple[RunRecord, ...]
    score: float
    train_loss: float
    val_loss: float
    winner: bool = False

    @property
    def is_candidate(self) -> bool:
        """Whether its rate may win: all its runs came to their end, none diverged."""
        ended = all(run.status == "finished" for run in self.runs)
        return ended and math.isfinite(self.score) and not math.isnan(self.lr)


def grid(results: Results) -> list[Point]:
    """All points of the tuning stage: rows and labels in their order, then by rate.

    The winner of a row and label is the rate with the best mean score of the last evaluation on
    the held-out examples; ties go to the lower validation loss, then to the lower rate. It is
    the same rule as the sweep's, applied to the runs that are there.
    """
    groups: dict[tuple[str, str, float], list[RunRecord]] = {}
    for run in results.runs:
        if run.stage == "tuning":
            lr = run.config["optimizer"].get("lr")
            # 0 stands for none here: NaN is no key, and no rate is 0.
            groups.setdefault((run.row, run.label, 0.0 if lr is None else float(lr)), []).append(
                run
            )
    rows = _order([cell.row for cell in results.planned], [key[0] for key in groups])
    labels = _order([cell.label for cell in results.planned], [key[1] for key in groups])
    ordered = sorted(groups, key=lambda key: (rows.index(key[0]), labels.index(key[1]), key[2]))
    points = [_point(*key, runs=groups[key]) for key in ordered]
    winners = {id(_winner(of_cell)) for of_cell in _by_cell(points)}
    return [replace(point, winner=True) if id(point) in winners else point for point in points]


def _order(planned: Sequence[str], found: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*planned, *sorted(found)]))


def _point(row: str, label: str, lr: float, *, runs: list[RunRecord]) -> Point:
    runs = sorted(runs, key=lambda run: (run.seed, run.hash))
    finished = [run for run in runs if run.status == "finished"]

    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values) if values else math.nan

    return Point(
        row=row,
        label=label,
        lr=lr if lr > 0 else math.nan,
        runs=tuple(runs),
        score=mean([final(run, run.score) for run in finished]),
        train_loss=mean([final(run, "train_loss") for run in finished]),
        val_loss=mean([final(run, "val_loss") for run in finished]),
    )


def _by_cell(points: Sequence[Point]) -> list[list[Point]]:
    cells: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        cells.setdefault((point.row, point.label), []).append(point)
    return list(cells.values())


def _winner(points: Sequence[Point]) -> Point | None:
    candidates = [point for point in points if point.is_candidate]
    if not candidates:
        return None

    lower = candidates[0].runs[0].score_is_loss
    return min(
        candidates,
        key=lambda point: badness(point.score, point.val_loss, point.lr, lower_is_better=lower),
    )


def sensitivity(results: Results) -> pd.DataFrame:
    """The data of the picture: a row a point, columns `COLUMNS`; NaN for what has no number."""
    rows = [
        {
            "row": point.row,
            "label": point.label,
            "lr": point.lr,
            "score": point.score,
            "score_name": point.runs[0].score,
            "score_is_loss": point.runs[0].score_is_loss,
            "train_loss": point.train_loss,
            "val_loss": point.val_loss,
            "winner": point.winner,
            "diverged": any(run.status == "diverged" for run in point.runs),
        }
        for point in grid(results)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


# -------------------------------------------------------------------------------- as it is shown


def grid_table(results: Results) -> Table:
    """The whole grid: what every rate gave on the held-out examples."""
    return Table(
        key="tuning-grid",
        title="The tuning grid",
        caption="Every rate that was tried, on training examples that were held out; the "
        "validation split was not looked at. The winner, in bold, is the one with the best mean "
        "final score among rates whose runs all ended without diverging. Line searches have no "
        "rate and were not tuned; they are shown for reference.",
        columns=("row", "optimizer", "rate", "n", "score", "training loss", "held-out loss"),
        rows=without_repeats([_grid_row(point) for point in grid(results)]),
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
    return "diverged" if any(run.status == "diverged" for run in point.runs) else "missing"


def _score_note(point: Point) -> str:
    return "" if point.runs[0].score == "accuracy" else score_title(point.runs[0].score)


def _others(point: Point) -> str:
    """What became of the runs that did not finish."""
    counts = {
        status: sum(run.status == status for run in point.runs)
        for status in ("diverged", "unfinished")
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
            f"{_cost(references)} of line searches on the same held-out examples are the reference "
            "lines; nothing was chosen by them."
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
