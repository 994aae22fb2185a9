"""The papers' numbers (`published.yaml`) beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from experiments.report.numbers.cells import (
    FINAL_TRAIN_LOSS,
    Comparison,
    Measure,
    Sample,
    best,
    final,
    label_cell,
    loss_text,
    mean_text,
    row_cell,
    without_repeats,
)
from experiments.report.read.records import RunRecord
from experiments.report.write.document import Cell, Table

FILE = Path(__file__).resolve().parent / "published.yaml"

Quantity = Literal["final_training_loss", "final_score", "best_score"]
Numbers = dict[str, float]

_TITLES: dict[Quantity, str] = {
    "final_training_loss": "Final training loss",
    "final_score": "Final accuracy",
    "best_score": "Best accuracy",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a number was read; `uncertainty` is that of reading it off a plot."""

    paper: str
    kind: Literal["table", "plot"]
    uncertainty: float | None = None

    def __str__(self) -> str:
        read = self.kind if self.uncertainty is None else f"{self.kind}, ±{self.uncertainty:g}"
        return f"{self.paper}; {read}"


class OverRows(_Strict):
    """The papers' means over their rows of losses, by optimizer."""

    source: str
    geometric_mean: Numbers
    average_rank: Numbers
    rank_from_the_losses: Numbers
    note: str


class Published(_Strict):
    """`published.yaml`: a quantity is source → row → optimizer → number."""

    sources: dict[str, Source]
    final_training_loss: dict[str, dict[str, Numbers]]
    over_rows: OverRows
    final_score: dict[str, dict[str, Numbers]]
    best_score: dict[str, dict[str, Numbers]]
    twins: dict[str, str]

    def find(self, quantity: Quantity, row: str, optimizer: str) -> Found | None:
        """The number, if there is one; the best score is the final one where no other is given."""
        by_source: dict[str, dict[str, Numbers]] = getattr(self, quantity)
        for source, rows in by_source.items():
            value = rows.get(row, {}).get(optimizer)
            if value is not None:
                return Found(value, self.sources[source])
        return self.find("final_score", row, optimizer) if quantity == "best_score" else None


@dataclass(frozen=True)
class Found:
    """A published number and where it was read."""

    value: float
    source: Source


@cache
def load() -> Published:
    """The file, checked."""
    return Published.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def published_name(run: RunRecord) -> str:
    """The optimizer's name in `published.yaml`: its kind, SaLSa told apart by its direction."""
    if run.optimizer == "salsa" and run.config["optimizer"].get("direction") == "sgd":
        return "salsa_sgd"
    return run.optimizer


# -------------------------------------------------------------------------------------- tables


_FINAL_ACCURACY = Measure(
    "final accuracy",
    lambda run: final(run, "accuracy"),
    lambda run: True,
    lambda run, x: f"{x:.4f}",
)
_BEST_ACCURACY = Measure(
    "best accuracy", lambda run: best(run, "accuracy"), lambda run: True, lambda run, x: f"{x:.4f}"
)
_MEASURES: dict[Quantity, Measure] = {
    "final_training_loss": FINAL_TRAIN_LOSS,
    "final_score": _FINAL_ACCURACY,
    "best_score": _BEST_ACCURACY,
}


@dataclass(frozen=True)
class _Pair:
    """Our cell and the published number of the same optimizer."""

    row: str
    label: str
    published_row: str
    ours: Sample
    run: RunRecord
    theirs: Found


def published_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Ours, published and difference for rows of the papers' scale; then twins side by side."""
    tables = []
    for quantity in _TITLES:
        pairs = _pairs(comparison, quantity, {row: row for row in comparison.rows})
        if pairs:
            tables.append(_difference_table(quantity, pairs))
    for quantity in _TITLES:
        pairs = _pairs(comparison, quantity, load().twins)
        if pairs:
            tables.append(_twin_table(quantity, pairs))
    return tuple(tables)


def over_rows_table() -> Table:
    """The papers' means over rows, with the ranks that their losses give."""
    over = load().over_rows
    rows = [
        (
            label_cell(optimizer),
            Cell(loss_text(over.geometric_mean[optimizer])),
            Cell(f"{rank:g}"),
            Cell(f"{over.rank_from_the_losses.get(optimizer, rank):g}"),
        )
        for optimizer, rank in over.average_rank.items()
    ]
    return Table(
        key="published-over-rows",
        title="Published means over the papers' eight rows",
        caption=f"Final training losses. {load().sources[over.source]}. {over.note}",
        columns=("optimizer", "geometric mean", "average rank", "rank from the losses"),
        rows=tuple(rows),
    )


def _pairs(comparison: Comparison, quantity: Quantity, twins: dict[str, str]) -> list[_Pair]:
    pairs = []
    for row in comparison.rows:
        for label in comparison.labels:
            runs = comparison.finished(row, label)
            if row not in twins or not runs:
                continue
            ours = comparison.sample(row, label, _MEASURES[quantity])
            theirs = load().find(quantity, twins[row], published_name(runs[0]))
            if theirs is not None and ours.n > 0:
                pairs.append(_Pair(row, label, twins[row], ours, runs[0], theirs))
    return pairs


def _difference_table(quantity: Quantity, pairs: list[_Pair]) -> Table:
    digits = "+.3g" if quantity == "final_training_loss" else "+.4f"
    rows = [
        (
            row_cell(pair.row),
            label_cell(pair.label),
            _ours(quantity, pair),
            _theirs(quantity, pair),
            Cell(f"{pair.ours.mean - pair.theirs.value:{digits}}"),
            Cell(str(pair.theirs.source)),
        )
        for pair in pairs
    ]
    return Table(
        key=f"published-{quantity.replace('_', '-')}",
        title=f"{_TITLES[quantity]}: ours and published",
        caption="Our mean ± sample standard deviation, the published number, and ours less the "
        "published.",
        columns=("row", "optimizer", "ours", "published", "difference", "source"),
        rows=without_repeats(rows),
    )


def _twin_table(quantity: Quantity, pairs: list[_Pair]) -> Table:
    rows = [
        (
            row_cell(pair.row),
            label_cell(pair.label),
            _ours(quantity, pair),
            row_cell(pair.published_row),
            _theirs(quantity, pair),
            Cell(str(pair.theirs.source)),
        )
        for pair in pairs
    ]
    return Table(
        key=f"twins-{quantity.replace('_', '-')}",
        title=f"{_TITLES[quantity]}: small twins beside the papers' rows",
        caption="Another scale: not comparable. Ours is a small model trained for minutes, theirs "
        "a large one; only the order of the optimizers could be looked at.",
        columns=("row", "optimizer", "ours", "the papers' row", "published", "source"),
        rows=without_repeats(rows),
    )


def _ours(quantity: Quantity, pair: _Pair) -> Cell:
    text = mean_text(_MEASURES[quantity], pair.run, pair.ours)
    return Cell(text, note="1 seed" if pair.ours.n == 1 else f"{pair.ours.n} seeds")


def _theirs(quantity: Quantity, pair: _Pair) -> Cell:
    if quantity == "final_training_loss":
        return Cell(loss_text(pair.theirs.value))
    return Cell(f"{pair.theirs.value:.4g}")
