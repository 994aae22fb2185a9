"""The papers' numbers (`published.yaml`) beside ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from experiments.report.numbers.cells import (
    BEST_ACCURACY,
    FINAL_ACCURACY,
    FINAL_TRAIN_LOSS,
    Comparison,
    Sample,
    loss_text,
    mean_text,
)
from experiments.report.read.records import RunRecord
from experiments.report.titles import counted, label_title, row_title
from experiments.report.write.document import Cell, Table, filled, without_repeats

FILE = Path(__file__).resolve().parent / "published.yaml"

# Of each quantity of the file: our measure, and the title.
_QUANTITIES = {
    "final_training_loss": (FINAL_TRAIN_LOSS, "Final training loss"),
    "final_score": (FINAL_ACCURACY, "Final accuracy"),
    "best_score": (BEST_ACCURACY, "Best accuracy"),
}


@cache
def load() -> dict[str, Any]:
    """`published.yaml`: a quantity is source → row → optimizer → number."""
    published: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return published


def find(quantity: str, row: str, optimizer: str) -> tuple[float, str] | None:
    """The published number and its source, with the uncertainty of reading it off a plot.

    The best score is the final one where no other is given. None if there is no number.
    """
    for source, rows in load()[quantity].items():
        if optimizer in rows.get(row, {}):
            return rows[row][optimizer], source_text(source)
    return find("final_score", row, optimizer) if quantity == "best_score" else None


def source_text(name: str) -> str:
    """A source of `published.yaml` in words."""
    source = load()["sources"][name]
    uncertainty = f", ±{source['uncertainty']:g}" if "uncertainty" in source else ""
    return f"{source['paper']}; {source['kind']}{uncertainty}"


def published_name(run: RunRecord) -> str:
    """The optimizer's name in `published.yaml`: its kind, SaLSa also by its direction."""
    if run.optimizer == "salsa" and run.config["optimizer"].get("direction") == "sgd":
        return "salsa_sgd"
    return run.optimizer


# -------------------------------------------------------------------------------------- tables


class _Pair(NamedTuple):
    """Our cell, and the published number of the same optimizer."""

    row: str
    label: str
    published_row: str
    sample: Sample
    ours: Cell
    theirs: float
    source: str


def published_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Ours, published and difference for rows of the papers' scale; then twins side by side."""
    same_scale = {row: row for row in comparison.rows}
    pairs = {quantity: _pairs(comparison, quantity, same_scale) for quantity in _QUANTITIES}
    twins = {quantity: _pairs(comparison, quantity, load()["twins"]) for quantity in _QUANTITIES}
    return (
        *(_difference_table(quantity, found) for quantity, found in pairs.items() if found),
        *(_twin_table(quantity, found) for quantity, found in twins.items() if found),
    )


def _pairs(comparison: Comparison, quantity: str, rows: dict[str, str]) -> list[_Pair]:
    """The cells with a number; `rows` has the published row of each of ours."""
    measure, _ = _QUANTITIES[quantity]
    pairs = []
    for row, label in ((r, x) for r in comparison.rows if r in rows for x in comparison.labels):
        sample = comparison.sample(row, label, measure)
        if sample.n == 0:
            continue
        run = comparison.finished(row, label)["run"].iloc[0]
        published = find(quantity, rows[row], published_name(run))
        if published is not None:
            theirs, source = published
            ours = mean_text(comparison, row, measure, sample)
            cell = Cell(ours, note=counted(sample.n, "seed"))
            pairs.append(_Pair(row, label, rows[row], sample, cell, theirs, source))
    return pairs


def _difference_table(quantity: str, pairs: list[_Pair]) -> Table:
    digits = "+.3g" if quantity == "final_training_loss" else "+.4f"
    return Table(
        key=f"published-{quantity.replace('_', '-')}",
        title=f"{_QUANTITIES[quantity][1]}: ours and published",
        caption="Our mean ± sample standard deviation, the published number, and ours less the "
        "published.",
        columns=("row", "optimizer", "ours", "published", "difference", "source"),
        rows=without_repeats(
            (
                row_title(pair.row),
                label_title(pair.label),
                pair.ours,
                loss_text(pair.theirs),
                f"{pair.sample.mean - pair.theirs:{digits}}",
                pair.source,
            )
            for pair in pairs
        ),
    )


def _twin_table(quantity: str, pairs: list[_Pair]) -> Table:
    return Table(
        key=f"twins-{quantity.replace('_', '-')}",
        title=f"{_QUANTITIES[quantity][1]}: small twins beside the papers' rows",
        caption="Another scale: not comparable. Ours is a small model trained for minutes, theirs "
        "a large one; only the order of the optimizers could be looked at.",
        columns=("row", "optimizer", "ours", "the papers' row", "published", "source"),
        rows=without_repeats(
            (
                row_title(pair.row),
                label_title(pair.label),
                pair.ours,
                row_title(pair.published_row),
                loss_text(pair.theirs),
                pair.source,
            )
            for pair in pairs
        ),
    )


def over_rows_table() -> Table:
    """The papers' means over rows, with the ranks that their losses give."""
    over = load()["over_rows"]
    return Table(
        key="published-over-rows",
        title="Published means over the papers' eight rows",
        caption=f"Final training losses. {source_text(over['source'])}. {over['note']}",
        columns=("optimizer", "geometric mean", "average rank", "rank from the losses"),
        rows=filled(
            (
                label_title(optimizer),
                loss_text(over["geometric_mean"][optimizer]),
                f"{rank:g}",
                f"{over['rank_from_the_losses'].get(optimizer, rank):g}",
            )
            for optimizer, rank in over["average_rank"].items()
        ),
    )
