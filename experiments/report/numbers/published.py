"""The papers' numbers (`published.yaml`) beside ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from experiments.report.numbers.cells import (
    BEST_ACCURACY,
    FINAL_ACCURACY,
    FINAL_TRAIN_LOSS,
    Comparison,
    loss_text,
)
from experiments.report.titles import counted, label_title, row_title
from experiments.report.write.document import Cell, Table, filled, without_repeats

# Of each quantity of the file: our measure, the title, the digits of a difference.
_QUANTITIES = {
    "final_training_loss": (FINAL_TRAIN_LOSS, "Final training loss", "+.3g"),
    "final_score": (FINAL_ACCURACY, "Final accuracy", "+.4f"),
    "best_score": (BEST_ACCURACY, "Best accuracy", "+.4f"),
}


@cache
def load() -> dict[str, Any]:
    """`published.yaml`: a quantity is source → row → optimizer → number."""
    published: dict[str, Any] = yaml.safe_load(
        Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    )
    return published


def find(quantity: str, row: str, optimizer: str) -> tuple[float, str] | None:
    """The published number and its source; None if there is no number.

    The best score is the final one where no other is given.
    """
    for source, rows in load()[quantity].items():
        if optimizer in rows.get(row, {}):
            return rows[row][optimizer], source_text(source)
    return find("final_score", row, optimizer) if quantity == "best_score" else None


def source_text(name: str) -> str:
    """A source of `published.yaml` in words, with the uncertainty of reading it off a plot."""
    source = load()["sources"][name]
    uncertainty = f", ±{source['uncertainty']:g}" if "uncertainty" in source else ""
    return f"{source['paper']}; {source['kind']}{uncertainty}"


def published_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Ours, published and difference for rows of the papers' scale; then twins side by side."""
    same_scale = {row: row for row in comparison.rows}
    tables = [
        Table(
            key=f"published-{quantity.replace('_', '-')}",
            title=f"{title}: ours and published",
            caption="Our mean ± sample standard deviation, the published number, and ours less "
            "the published.",
            columns=("row", "optimizer", "ours", "published", "difference", "source"),
            rows=_rows(comparison, quantity, same_scale),
        )
        for quantity, (_, title, _) in _QUANTITIES.items()
    ]
    tables += [
        Table(
            key=f"twins-{quantity.replace('_', '-')}",
            title=f"{title}: small twins beside the papers' rows",
            caption="Another scale: not comparable. Ours is a small model trained for minutes, "
            "theirs a large one; only the order of the optimizers could be looked at.",
            columns=("row", "optimizer", "ours", "the papers' row", "published", "source"),
            rows=_rows(comparison, quantity, load()["twins"]),
        )
        for quantity, (_, title, _) in _QUANTITIES.items()
    ]
    return tuple(table for table in tables if table.rows)


def _rows(
    comparison: Comparison, quantity: str, published_rows: dict[str, str]
) -> tuple[tuple[Cell, ...], ...]:
    """The cells that have a number; `published_rows` has the papers' row of each of ours."""
    measure, _, digits = _QUANTITIES[quantity]
    rows = []
    for row, theirs in ((r, published_rows[r]) for r in comparison.rows if r in published_rows):
        for label in comparison.labels:
            sample = comparison.sample(row, label, measure)
            if sample.n == 0:
                continue
            run = comparison.cell(row, label)["run"].iloc[0]
            along_gradient = run.config["optimizer"].get("direction") == "sgd"
            is_salsa_sgd = run.optimizer == "salsa" and along_gradient
            published = find(quantity, theirs, "salsa_sgd" if is_salsa_sgd else run.optimizer)
            if published is not None:
                value, source = published
                text = comparison.mean_text(row, measure, sample)
                ours = Cell(text, note=counted(sample.n, "seed"))
                beside = (loss_text(value), f"{sample.mean - value:{digits}}")
                if theirs != row:
                    beside = (row_title(theirs), loss_text(value))
                rows.append((row_title(row), label_title(label), ours, *beside, source))
    return without_repeats(rows)


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
