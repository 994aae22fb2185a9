"""The tuning of the baselines: every rate that was tried, the winners, and what it cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from experiments.report.numbers.cells import (
    DASH,
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    FINAL_VAL_LOSS,
    Comparison,
    in_order,
    loss_text,
    mean,
    score_text,
)
from experiments.report.titles import counted, label_title, row_title, score_title
from experiments.report.write.document import Cell, Table, without_repeats
from experiments.tuning import Decider, Outcome, best

_COLUMNS = (
    *("row", "label", "lr", "score", "score_name", "score_is_loss", "train_loss", "val_loss"),
    *("finished", "diverged", "others", "instead", "hold_out", "decider"),
    *("number", "number_name", "lower_is_better", "winner"),
)


def tuning_points(comparison: Comparison) -> pd.DataFrame:
    """One line per row, label and rate of the tuning stage: rows and labels in order, then by rate.

    `lr` is NaN for line searches and references, which have none to tune. `score`, `train_loss` and
    `val_loss` are means over the `finished` runs; `number` is the one that decides between the
    rates of the row (`number_name`, `lower_is_better`). `hold_out` is the share of training
    examples that judged the runs; 0: the validation split did. `others` counts the runs that did
    not finish, `diverged` says whether one diverged, `instead` stands for a missing score. The
    `winner` of a row and label is the best rate by the rule of sweeps, of the runs that are there.
    """
    runs, planned = comparison.tuning, comparison.results.planned
    rows = in_order((cell.row for cell in planned), sorted(runs["row"]))
    labels = in_order((cell.label for cell in planned), sorted(runs["label"]))
    points: list[dict[str, Any]] = []
    places = [runs["row"].map(rows.index), runs["label"].map(labels.index)]
    for _, of_label in runs.groupby(places):
        decider = comparison.results.tuned_by.get(of_label["row"].iloc[0], "score")
        # No rate is 0: here it stands for none.
        by_rate = of_label.groupby(of_label["lr"].fillna(0.0))
        lines = [_point(of_rate, decider) for _, of_rate in by_rate]
        candidates = [
            Outcome(line["lr"], line["score"], line["score_is_loss"], line["val_loss"])
            for line in lines
            if line["lr"] > 0 and not line["others"]
        ]
        winner = best(candidates, decider)
        for line in lines:
            points.append({**line, "winner": winner is not None and line["lr"] == winner.lr})
    return pd.DataFrame(points, columns=list(_COLUMNS))


def _point(runs: pd.DataFrame, decider: Decider) -> dict[str, Any]:
    """The line of the runs of one row, label and rate."""
    first, ends = runs.iloc[0], runs["status"].tolist()
    finished = runs[runs["status"] == "finished"]
    others = {end: ends.count(end) for end in ("diverged", "stuck", "unfinished")}
    score, val_loss = mean(finished[FINAL_SCORE]), mean(finished[FINAL_VAL_LOSS])
    by_loss = decider == "val_loss"
    trainer = first["run"].config.get("trainer") or {}
    return {
        "row": first["row"],
        "label": first["label"],
        "score_name": first["score"],
        "score_is_loss": first["score_is_loss"],
        "lr": first["lr"] if first["lr"] > 0 else math.nan,
        "score": score,
        "train_loss": mean(finished[FINAL_TRAIN_LOSS]),
        "val_loss": val_loss,
        "finished": len(finished),
        "diverged": others["diverged"] > 0,
        "others": ", ".join(f"{count} {end}" for end, count in others.items() if count),
        "instead": next((end for end in ("diverged", "stuck") if others[end]), "missing"),
        "hold_out": float(trainer.get("hold_out") or 0.0),
        "decider": decider,
        "number": val_loss if by_loss else score,
        "number_name": "val_loss" if by_loss else first["score"],
        "lower_is_better": by_loss or first["score_is_loss"],
    }


def terms(points: pd.DataFrame) -> str:
    """On which examples and by which number rates were chosen.

    Where rows differ, the sentences for some of them begin with their names.
    """
    rows: dict[str, dict[str, None]] = {}
    for point in points.itertuples():
        where = (
            "the validation split itself, no examples were held out; this favours the optimizers "
            "that were tuned"
        )
        if point.hold_out:
            where = (
                f"{point.hold_out:.3g} of the training examples, which were held out; the "
                "validation split was not looked at"
            )
        by_loss = point.decider == "val_loss"
        by = "the lowest mean final validation loss" if by_loss else "the best mean final score"
        sentences = (
            f"Rates were tried on {where}. The winner is the rate with {by} among those whose runs "
            "all ended without diverging."
        )
        rows.setdefault(sentences, {})[row_title(point.row)] = None
    if len(rows) == 1:
        return next(iter(rows))
    return " ".join(f"{', '.join(names)}: {sentences}" for sentences, names in rows.items())


def grid_table(points: pd.DataFrame) -> Table:
    """The whole grid: the result of every rate."""
    rows: list[tuple[Cell | str, ...]] = []
    for point in points.itertuples():
        score, note = point.instead, ""
        if math.isfinite(point.score):
            score = score_text(point.score, is_loss=point.score_is_loss)
        if point.finished and point.score_name != "accuracy":
            note = score_title(point.score_name)
        rate = "none" if math.isnan(point.lr) else f"{point.lr:g}"
        losses = [
            Cell(DASH if math.isnan(loss) else loss_text(loss), point.winner)
            for loss in (point.train_loss, point.val_loss)
        ]
        runs = Cell(str(point.finished), note=point.others)
        cells = (Cell(rate, point.winner), runs, Cell(score, point.winner, note), *losses)
        rows.append((row_title(point.row), label_title(point.label), *cells))
    loss = "held-out loss" if (points["hold_out"] > 0).all() else "validation loss"
    return Table(
        key="tuning-grid",
        title="The tuning grid",
        caption=f"Every rate that was tried. {terms(points)} The winner is in bold. Optimizers "
        "without a rate were not tuned; they are shown for reference.",
        columns=("row", "optimizer", "rate", "n", "score", "training loss", loss),
        rows=without_repeats(rows),
    )


def budget(comparison: Comparison, points: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on what the tuning cost, also where there was none."""
    runs = comparison.tuning
    tuned = runs["lr"] > 0
    if not tuned.any():
        return ("There are no tuning runs here: no optimizer's rate was tuned.",)
    sentences = [
        f"Tuning {label_title(label)} took {_cost(runs[tuned & (runs['label'] == label)])}."
        for label in points.loc[points["lr"].notna(), "label"].unique()
    ]
    compared = comparison.runs["run"]
    searches = {label_title(x.label) for x in compared if "lr" not in x.config["optimizer"]}
    names = f" ({', '.join(sorted(searches))})" if searches else ""
    sentences.append(f"The line searches{names} were not tuned: 0 runs.")
    if not tuned.all():
        sentences.append(
            f"{_cost(runs[~tuned])} of optimizers without a rate to tune, on the same examples, "
            "are the reference lines; nothing was chosen by them."
        )
    return tuple(sentences)


def _cost(runs: pd.DataFrame) -> str:
    steps, seconds = runs["last.step"].sum(), runs["last.seconds"].sum()
    return f"{counted(len(runs), 'run')}, {steps:,.0f} steps and {duration(seconds)} of training"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    if seconds < 7200:
        return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
