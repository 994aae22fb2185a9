"""The papers' tables: scores and losses, rows of tasks, columns of optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.report.numbers.cells import (
    BEST_SCORE,
    DASH,
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    PERPLEXITY,
    Comparison,
    Measure,
    loss_text,
    row_cell,
    shown,
    usual_seeds,
)
from experiments.report.titles import label_title, row_title, score_title
from experiments.report.write.document import Cell, Table


def score_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Final and best score of every row, and the perplexity of those that have one."""
    name = _score_name(comparison)
    tables = [
        _table(
            comparison,
            FINAL_SCORE,
            key="final-score",
            title=f"Final {name}",
            caption=f"{_what(name)} of the last evaluation on the validation split.",
        ),
        _table(
            comparison,
            BEST_SCORE,
            key="best-score",
            title=f"Best {name}",
            caption=f"{_what(name)} of each run's best evaluation. It is picked on the split that "
            "it is measured on, and so flatters every optimizer, the more the noisier it is.",
        ),
    ]
    perplexed = [row for row in comparison.rows if _has(comparison, row, PERPLEXITY)]
    if perplexed:
        tables.append(
            _table(
                comparison,
                PERPLEXITY,
                key="perplexity",
                title="Final perplexity",
                caption="exp of the validation loss in nats, of the last evaluation; lower is "
                "better.",
                rows=perplexed,
            )
        )
    return tuple(tables)


def loss_table(comparison: Comparison) -> Table:
    """Final training losses with the geometric mean over rows and the average rank."""
    body = _table(
        comparison,
        FINAL_TRAIN_LOSS,
        key="final-training-loss",
        title="Final training loss",
        caption="Mean loss of the training steps between the last two evaluations; lower is "
        "better.",
    )
    over = over_rows(comparison)
    if over is None:
        told = "No row has a result of every optimizer, so there is no mean over rows."
        return Table(body.key, body.title, f"{body.caption} {told}", body.columns, body.rows)
    told = (
        f"Geometric mean and average rank are over the rows that every optimizer shown there has: "
        f"{', '.join(map(row_title, over.rows))}."
    )
    rows = (
        *body.rows,
        _over_row("geometric mean", over, over.geometric_means, comparison, loss_text),
        _over_row("average rank", over, over.ranks, comparison, lambda rank: f"{rank:.4g}"),
    )
    return Table(body.key, body.title, f"{body.caption} {told}", body.columns, rows)


@dataclass(frozen=True)
class OverRows:
    """Means over the rows that all of `labels` have."""

    rows: tuple[str, ...]
    labels: tuple[str, ...]
    geometric_means: tuple[float, ...]
    ranks: tuple[float, ...]


def over_rows(comparison: Comparison) -> OverRows | None:
    """Geometric mean and average rank of the final training losses; None if no row has them all.

    Labels without any result are left out. Equal losses share the mean of their ranks.
    """
    means = {
        (row, label): comparison.sample(row, label, FINAL_TRAIN_LOSS).mean
        for row in comparison.rows
        for label in comparison.labels
    }
    labels = [
        label
        for label in comparison.labels
        if any(math.isfinite(means[row, label]) for row in comparison.rows)
    ]
    rows = [r for r in comparison.rows if all(means[r, label] > 0 for label in labels)]
    if not rows or not labels:
        return None
    losses = np.array([[means[row, label] for label in labels] for row in rows])
    return OverRows(
        rows=tuple(rows),
        labels=tuple(labels),
        geometric_means=tuple(geometric_means(losses)),
        ranks=tuple(average_ranks(losses)),
    )


def geometric_means(losses: np.ndarray) -> list[float]:
    """Of each column of rows × optimizers."""
    means: list[float] = np.exp(np.log(losses).mean(axis=0)).tolist()
    return means


def average_ranks(losses: np.ndarray) -> list[float]:
    """Of each column of rows × optimizers; the lowest loss of a row has rank 1."""
    ranks: list[float] = stats.rankdata(losses, axis=1).mean(axis=0).tolist()
    return ranks


# --------------------------------------------------------------------------------------- parts


def _table(
    comparison: Comparison,
    measure: Measure,
    *,
    key: str,
    title: str,
    caption: str,
    rows: Sequence[str] | None = None,
) -> Table:
    usual = usual_seeds(comparison)
    seeds = "1 seed" if usual == 1 else f"{usual} seeds"
    how = (
        f" One run a cell ({seeds})."
        if usual == 1
        else f" Mean ± sample standard deviation over {seeds}"
    )
    if usual > 1:
        how += ", unless a cell says otherwise; diverged runs are counted beside it and left out "
        how += "of the mean."
    chosen = comparison.rows if rows is None else rows
    return Table(
        key=key,
        title=title,
        caption=f"{caption}{how} Best mean of a row in bold.",
        columns=("", *map(label_title, comparison.labels)),
        rows=tuple(_row(comparison, row, measure, usual) for row in chosen),
    )


def _row(comparison: Comparison, row: str, measure: Measure, usual: int) -> tuple[Cell, ...]:
    means = [comparison.sample(row, label, measure).mean for label in comparison.labels]
    finite = [mean for mean in means if math.isfinite(mean)]
    best = math.nan
    if len(finite) > 1:
        best = max(finite) if comparison.higher_is_better(row, measure) else min(finite)
    cells = [
        shown(comparison, row, label, measure, bold=mean == best, usual=usual)
        for label, mean in zip(comparison.labels, means, strict=True)
    ]
    return (row_cell(row, _row_note(comparison, row, measure)), *cells)


def _row_note(comparison: Comparison, row: str, measure: Measure) -> str:
    """Which metric the score is, where that is not the accuracy."""
    runs = comparison.of_row(row)
    if not runs or measure not in (FINAL_SCORE, BEST_SCORE) or runs[0].score == "accuracy":
        return ""
    name = score_title(runs[0].score)
    return f"{name}, lower is better" if runs[0].score_is_loss else name


def _over_row(
    title: str,
    over: OverRows,
    values: Sequence[float],
    comparison: Comparison,
    text: Callable[[float], str],
) -> tuple[Cell, ...]:
    best = min(values) if len(values) > 1 else math.nan
    of_label = dict(zip(over.labels, values, strict=True))
    cells = [
        Cell(text(of_label[label]), bold=of_label[label] == best)
        if label in of_label
        else Cell(DASH)
        for label in comparison.labels
    ]
    count = "1 row" if len(over.rows) == 1 else f"{len(over.rows)} rows"
    return (Cell(title, note=count), *cells)


def _has(comparison: Comparison, row: str, measure: Measure) -> bool:
    return any(comparison.sample(row, label, measure).n for label in comparison.labels)


def _score_name(comparison: Comparison) -> str:
    """`accuracy` where it is the score of every row, else `score`."""
    scores = {run.score for row in comparison.rows for run in comparison.of_row(row)}
    return score_title(scores.pop()) if len(scores) == 1 else "score"


def _what(name: str) -> str:
    if name == "score":
        return "Accuracy, or the metric that stands beside the row's name,"
    return name[0].upper() + name[1:]
