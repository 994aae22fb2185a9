"""How much tuning the baselines had: the whole grid and its winners."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from experiments.report.numbers.cells import final
from experiments.report.read.records import Results, RunRecord
from experiments.tuning import Decider, Outcome, best

COLUMNS = (
    "row",
    "label",
    "lr",
    "number",
    "number_name",
    "lower_is_better",
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
    """NaN for what has none to tune: line searches, and references."""
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
        """Whether its rate may win: all its runs came to their end with a result."""
        return not math.isnan(self.lr) and all(run.status == "finished" for run in self.runs)

    @property
    def outcome(self) -> Outcome:
        """What decides whether it wins."""
        return Outcome(self.lr, self.score, self.runs[0].score_is_loss, self.val_loss)


def grid(results: Results) -> list[Point]:
    """All points of the tuning stage: rows and labels in their order, then by rate.

    The winner of a row and label is the best rate by `tuning`, which is the sweep's, applied
    to the runs that are there.
    """
    groups: dict[tuple[str, str, float], list[RunRecord]] = {}
    for run in results.runs:
        if run.stage == "tuning":
            lr = None if run.reference else run.config["optimizer"].get("lr")
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
    """The data of the picture: a row a point, columns `COLUMNS`; NaN for what has no number.

    `number` is the one that decides between the rates of the row.
    """
    rows = [
        {
            "row": point.row,
            "label": point.label,
            "lr": point.lr,
            "number": point.score if point.decider == "score" else point.val_loss,
            "number_name": point.runs[0].score if point.decider == "score" else "val_loss",
            "lower_is_better": point.decider == "val_loss" or point.runs[0].score_is_loss,
            "hold_out": point.hold_out,
            "winner": point.winner,
            "diverged": any(run.status == "diverged" for run in point.runs),
        }
        for point in grid(results)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
