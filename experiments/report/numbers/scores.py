"""The papers' tables: scores and losses, a row per experiment and a column per optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import (
    BEST_SCORE,
    DASH,
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    PERPLEXITY,
    Comparison,
    loss_text,
)
from experiments.report.titles import counted, label_title, row_title, score_title
from experiments.report.write.document import Cell, Table


def score_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Final and best score of every row, and the perplexity of those that have one."""
    scores = {score for score, _ in comparison.scores.values()} - {""}
    name = score_title(scores.pop()) if len(scores) == 1 else "score"
    what = "Accuracy, or the metric that stands beside the row's name,"
    if name != "score":
        what = name[0].upper() + name[1:]
    tables = [
        _table(
            comparison,
            FINAL_SCORE,
            key="final-score",
            title=f"Final {name}",
            caption=f"{what} of the last evaluation on the validation split.",
        ),
        _table(
            comparison,
            BEST_SCORE,
            key="best-score",
            title=f"Best {name}",
            caption=f"{what} of each run's best evaluation. It is chosen on the split that it is "
            "measured on, and so flatters every optimizer, the more the noisier it is.",
        ),
        _table(
            comparison,
            PERPLEXITY,
            key="perplexity",
            title="Final perplexity",
            caption="exp of the validation loss in nats, of the last evaluation; lower is better.",
            rows=comparison.means(PERPLEXITY).dropna(how="all").index,
        ),
    ]
    return tuple(table for table in tables if table.rows or table.key != "perplexity")


def loss_table(comparison: Comparison) -> Table:
    """Final training losses with the geometric mean over rows and the average rank."""
    table = _table(
        comparison,
        FINAL_TRAIN_LOSS,
        key="final-training-loss",
        title="Final training loss",
        caption="Mean loss of the training steps between the last two evaluations; lower is "
        "better.",
    )
    means = comparison.means(FINAL_TRAIN_LOSS).dropna(axis="columns", how="all")
    shared = means[(means > 0).all(axis="columns")]
    if shared.empty:
        note = "No row has a result of every optimizer, so there is no mean over rows."
        return replace(table, caption=f"{table.caption} {note}")
    note = (
        "Geometric mean and average rank are over the rows that every optimizer shown there has: "
        f"{', '.join(map(row_title, shared.index))}."
    )
    count = counted(len(shared), "row")
    last_rows = (
        _over_rows(comparison, Cell("geometric mean", note=count), np.exp(np.log(shared).mean())),
        _over_rows(comparison, Cell("average rank", note=count), shared.rank(axis=1).mean()),
    )
    return replace(table, caption=f"{table.caption} {note}", rows=(*table.rows, *last_rows))


def _over_rows(comparison: Comparison, name: Cell, values: pd.Series) -> tuple[Cell, ...]:
    """A last row of a table; `values` are by label, the lowest is best."""
    best = values.min() if len(values) > 1 else np.nan
    cells = [
        Cell(loss_text(values[label]), bold=bool(values[label] == best))
        if label in values
        else Cell(DASH)
        for label in comparison.labels
    ]
    return name, *cells


def _table(
    comparison: Comparison,
    measure: str,
    *,
    key: str,
    title: str,
    caption: str,
    rows: Iterable[str] | None = None,
) -> Table:
    usual = counted(comparison.usual_seeds, "seed")
    how = f"One run per cell ({usual})."
    if comparison.usual_seeds > 1:
        how = (
            f"Mean ± sample standard deviation over {usual}, unless a cell says otherwise; "
            "diverged runs are counted beside it and left out of the mean."
        )
    return Table(
        key=key,
        title=title,
        caption=f"{caption} {how} Best mean of a row in bold.",
        columns=("", *map(label_title, comparison.labels)),
        rows=tuple(
            _row(comparison, row, measure) for row in (comparison.rows if rows is None else rows)
        ),
    )


def _row(comparison: Comparison, row: str, measure: str) -> tuple[Cell, ...]:
    means = comparison.means(measure).loc[row]
    known = means.dropna()
    best = np.nan
    if len(known) > 1:
        best = known.min() if comparison.lower_is_better(row, measure) else known.max()
    cells = []
    for label in comparison.labels:
        sample = comparison.sample(row, label, measure)
        note = sample.notes(comparison.usual_seeds)
        if sample.planned == 0:
            cells.append(Cell(DASH))
        elif sample.n == 0:
            cells.append(Cell(sample.instead, note=note))
        else:
            text = comparison.mean_text(row, measure, sample)
            cells.append(Cell(text, bool(means[label] == best), note))
    score, is_loss = comparison.scores[row]
    note = ""
    if measure in (FINAL_SCORE, BEST_SCORE) and score not in ("", "accuracy"):
        note = f"{score_title(score)}, lower is better" if is_loss else score_title(score)
    return Cell(row_title(row), note=note), *cells
