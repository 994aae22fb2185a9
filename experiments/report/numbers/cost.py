"""The cost of a step relative to Adam's, and of the way to Adam's own result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import DASH, FINAL_SCORE, Comparison, loss_text
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import Cell, Table, without_repeats

NOISY = (
    "Seconds are of training without evaluation, on a machine that may have done other things at "
    "the same time: where runs share it they are noisy."
)
UNITS = ("step", "epoch", "forward_passes", "seconds")

# -------------------------------------------------------------------------------- cost of a step


def step_cost_table(comparison: Comparison) -> Table:
    """Seconds and passes per step of every cell, and relative to the row's Adam."""
    runs = comparison.runs[comparison.runs["status"] == "finished"]
    steps = runs["steps"].where(runs["steps"] > 0)
    per_step = runs[["seconds_training", "forward_passes", "backward_passes"]].div(steps, axis=0)
    costs = per_step.groupby([runs["row"], runs["label"]]).median()
    rows = []
    for row in comparison.rows:
        adam = comparison.baselines.get(row)
        for label in comparison.labels:
            if (row, label) not in costs.index:
                continue
            cost = costs.loc[(row, label)]
            ratios = [DASH, DASH]
            if adam is not None:
                pairs = zip(cost[:2], costs.loc[(row, adam)][:2], strict=True)
                ratios = [f"{x / y:.2f}" if x > 0 and y > 0 else DASH for x, y in pairs]
            seconds, forward, backward = cost
            texts = (f"{seconds:.3g}", ratios[0], f"{forward:.2f}", ratios[1], f"{backward:.2f}")
            rows.append((row_title(row), label_title(label), *texts))
    return Table(
        key="step-cost",
        title="The cost of a step",
        caption=f"Medians over seeds; × is relative to Adam of the same row. {NOISY}",
        columns=(
            *("row", "optimizer", "seconds per step", "× Adam", "forward passes per step"),
            *("× Adam", "backward passes per step"),
        ),
        rows=without_repeats(rows),
    )


# -------------------------------------------------------------------------------- time to target


def target(comparison: Comparison, row: str) -> float:
    """The mean final validation score of the row's Adam; NaN where there is none."""
    adam = comparison.baselines.get(row)
    return math.nan if adam is None else float(comparison.means(FINAL_SCORE).at[row, adam])


def arrivals(comparison: Comparison, targets: Mapping[str, float]) -> pd.DataFrame:
    """How long each finished, diverged or stuck run took to the target of its row.

    Indexed as `comparison.runs`, with `UNITS`, inf for never. A run reaches the target at its first
    evaluation that is at least as good. Rows without a target are left out.
    """
    runs = comparison.runs[comparison.runs["status"] != "unfinished"]
    runs = runs[runs["row"].map(targets).notna()]
    times = pd.DataFrame(math.inf, runs.index, UNITS)
    for i, run in runs["run"].items():
        if run.score in run.evaluations:
            scores, goal = run.evaluations[run.score], targets[run.row]
            reached = run.evaluations[scores <= goal if run.score_is_loss else scores >= goal]
            times.loc[i] = reached[list(UNITS)].iloc[0] if len(reached) else math.inf
    return times


def medians(times: pd.DataFrame, units: Sequence[str]) -> pd.DataFrame:
    """The medians of the units by row and label, and how many of the `runs` have `reached` it."""
    counted = times.assign(runs=1, reached=np.isfinite(times["step"]))
    how = dict.fromkeys(units, "median") | {"runs": "sum", "reached": "sum"}
    return counted.groupby(["row", "label"]).agg(how)


def times_to_target(comparison: Comparison) -> pd.DataFrame:
    """The medians over seeds of the `arrivals` at the final score of the row's Adam."""
    times = arrivals(comparison, {row: target(comparison, row) for row in comparison.rows})
    return medians(times.join(comparison.runs[["row", "label"]]), UNITS)


def time_to_target_table(comparison: Comparison) -> Table:
    """Steps, epochs, forward passes and seconds to the result of the tuned Adam."""
    times = times_to_target(comparison)
    rows: list[tuple[Cell | str, ...]] = []
    for row in comparison.rows:
        name = Cell(row_title(row), note=f"target {loss_text(target(comparison, row))}")
        for label in comparison.labels:
            if (row, label) in times.index:
                time = times.loc[(row, label)]
                texts = ["not reached", DASH, DASH, DASH]
                if math.isfinite(time["step"]):
                    texts = [f"{time['step']:.0f}", f"{time['epoch']:.3g}"]
                    texts += [f"{time['forward_passes']:.0f}", f"{time['seconds']:.1f}"]
                reached = f"{time['reached']:.0f} of {time['runs']:.0f}"
                rows.append((name, label_title(label), reached, *texts))
    return Table(
        key="time-to-target",
        title="Time to Adam's result",
        caption="The target of a row is the mean final validation score of its Adam. Counted up to "
        "the first evaluation that is at least as good, medians over seeds; a run that never gets "
        f"there counts as infinitely long. Adam itself may miss its own mean. {NOISY}",
        columns=("row", "optimizer", "reached by", "steps", "epochs", "forward passes", "seconds"),
        rows=without_repeats(rows),
    )


# -------------------------------------------------------------------------- performance profiles


def performance_profiles(comparison: Comparison) -> pd.DataFrame:
    """For each label, the share of rows in which it is within a factor τ of the fastest.

    Columns label, tau, share, rows: the corners of a step function that is constant from a tau to
    the next, from tau = 1 to the largest finite ratio of all. A row's times are the medians over
    seeds of the seconds of training to Adam's final score. Rows whose target nobody reaches are
    left out. A label's shares are of its own `rows`, those for which it was planned or has runs;
    one that is planned but has no runs has not reached its target.
    Source: Dolan and Moré, Benchmarking optimization software with performance profiles (2002).
    """
    seconds = times_to_target(comparison)["seconds"].unstack("label")
    fastest = seconds.min(axis="columns")
    ratios = seconds.div(fastest, axis="index")[(fastest > 0) & np.isfinite(fastest)]
    labels = [x for x in comparison.labels if x in ratios and ratios[x].notna().any()]
    known = ratios.to_numpy()[np.isfinite(ratios.to_numpy())]
    taus = np.unique([1.0, *known]).tolist() if len(ratios) else []
    corners = []
    for label in labels:
        own = ratios.loc[[comparison.seeds(row, label) > 0 for row in ratios.index], label]
        corners += [(label, tau, (own <= tau).mean(), len(own)) for tau in taus]
    frame = pd.DataFrame(corners, columns=["label", "tau", "share", "rows"])
    return frame.astype({"tau": float, "share": float, "rows": int})
