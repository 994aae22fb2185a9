"""How much tuning the baselines had: the whole grid, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from experiments.tuning_rule import Decider, Outcome, best

COLUMNS = (
    "row",
    "label",
    "lr",
    "score",
    "score_name",
    "score_is_loss",
    "train_loss",
    "val_loss",
    "decider",
    "hold_out",
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
    decider: Decider
    """The number that decides between the rates of its row."""
    winner: bool = False

    @property
    def hold_out(self) -> float:
        """The share of training examples that judged its runs; 0: the validation split did."""
        trainer = self.runs[0].config.get("trainer")
        share = trainer.get("hold_out") if isinstance(trainer, Mapping) else None
        return 0.0 if share is None else float(share)

    @property
    def is_candidate(self) -> bool:
        """Whether its rate may win: all its runs came to their end, none diverged."""
        return not math.isnan(self.lr) and all(run.status == "finished" for run in self.runs)

    @property
    def outcome(self) -> Outcome:
        """What decides whether it wins."""
        return Outcome(self.lr, self.score, self.runs[0].score_is_loss, self.val_loss)


def grid(results: Results) -> list[Point]:
    """All points of the tuning stage: rows and labels in their order, then by rate.

    The winner of a row and label is the best rate by `tuning_rule`, which is the sweep's, applied
    to the runs that are there.
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
    points = [
        _point(*key, runs=groups[key], decider=results.tuned_by.get(key[0], "score"))
        for key in ordered
    ]
    winners = {id(_winner(of_cell)) for of_cell in _by_cell(points)}
    return [replace(point, winner=True) if id(point) in winners else point for point in points]


def _order(planned: Sequence[str], found: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*planned, *sorted(found)]))


def _point(row: str, label: str, lr: float, *, runs: list[RunRecord], decider: Decider) -> Point:
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
        decider=decider,
    )


def _by_cell(points: Sequence[Point]) -> list[list[Point]]:
    cells: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        cells.setdefault((point.row, point.label), []).append(point)
    return list(cells.values())


def _winner(points: Sequence[Point]) -> Point | None:
    candidates = {point.outcome: point for point in points if point.is_candidate}
    found = best(list(candidates), points[0].decider)
    return None if found is None else candidates[found]


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
            "decider": point.decider,
            "hold_out": point.hold_out,
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
