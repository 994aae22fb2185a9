"""The papers' tables: scores and losses, a row per experiment and a column per optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

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
    final = f"{what} of the last evaluation on the validation split."
    best = (
        f"{what} of each run's best evaluation. It is chosen on the split that it is "
        "measured on, and so flatters every optimizer, the more the noisier it is."
    )
    perplexity = "exp of the validation loss in nats, of the last evaluation; lower is better."
    rows = comparison.means(PERPLEXITY).dropna(how="all").index
    tables = [
        _table(comparison, FINAL_SCORE, "final-score", f"Final {name}", final),
        _table(comparison, BEST_SCORE, "best-score", f"Best {name}", best),
        _table(comparison, PERPLEXITY, "perplexity", "Final perplexity", perplexity, rows),
    ]
    return tuple(table for table in tables if table.rows or table.key != "perplexity")


def loss_table(comparison: Comparison) -> Table:
    """Final training losses with the geometric mean over rows and the average rank."""
    what = "Mean loss of the training steps between the last two evaluations; lower is better."
    key, title = "final-training-loss", "Final training loss"
    table = _table(comparison, FINAL_TRAIN_LOSS, key, title, what)
    means = comparison.means(FINAL_TRAIN_LOSS).dropna(axis="columns", how="all")
    shared = means[(means > 0).all(axis="columns")]
    if shared.empty:
        note = "No row has a result of every optimizer, so there is no mean over rows."
        return replace(table, caption=f"{table.caption} {note}")
    note = (
        "Geometric mean and average rank are over the rows that every optimizer shown there has: "
        f"{', '.join(map(row_title, shared.index))}."
    )
    over_rows = {
        "geometric mean": np.exp(np.log(shared).mean()),
        "average rank": shared.rank(axis=1).mean(),
    }
    rows = list(table.rows)
    for name, values in over_rows.items():
        cells = [Cell(name, note=counted(len(shared), "row"))]
        for label in comparison.labels:
            is_best = len(values) > 1 and values.get(label) == values.min()
            text = loss_text(values[label]) if label in values else DASH
            cells.append(Cell(text, bold=bool(is_best)))
        rows.append(tuple(cells))
    return replace(table, caption=f"{table.caption} {note}", rows=tuple(rows))


def _table(
    comparison: Comparison,
    measure: str,
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
    known = comparison.means(measure).loc[row].dropna()
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
            cells.append(Cell(text, len(known) > 1 and bool(sample.mean == best), note))
    score, is_loss = comparison.scores[row]
    note = ""
    if measure in (FINAL_SCORE, BEST_SCORE) and score not in ("", "accuracy"):
        note = f"{score_title(score)}, lower is better" if is_loss else score_title(score)
    return Cell(row_title(row), note=note), *cells
