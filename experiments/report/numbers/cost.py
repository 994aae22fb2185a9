"""What a result costs: a step relative to Adam's, and the way to Adam's own result."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import (
    DASH,
    FINAL_SCORE,
    Comparison,
    label_cell,
    loss_text,
    row_cell,
    without_repeats,
)
from experiments.report.read.records import Results, RunRecord
from experiments.report.write.document import Cell, Table

NOISY = (
    "Seconds are of training without evaluation, on whatever else the machine was doing: where "
    "runs share it they are noisy."
)

UNITS = ("step", "epoch", "forward_passes", "seconds")

# -------------------------------------------------------------------------------- cost of a step


def step_cost(comparison: Comparison, row: str, label: str) -> dict[str, float]:
    """Median over seeds of seconds, forward and backward passes a step; NaN for no finished run."""
    runs = comparison.finished(row, label)
    return {
        name: _median([_a_step(run, key) for run in runs])
        for name, key in (
            ("seconds", "seconds_training"),
            ("forward", "forward_passes"),
            ("backward", "backward_passes"),
        )
    }


def _a_step(run: RunRecord, key: str) -> float:
    summary = run.summary or {}
    steps, value = summary.get("steps"), summary.get(key)
    return math.nan if not steps or value is None else value / steps


def _median(values: list[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return statistics.median(finite) if finite else math.nan


def step_cost_table(comparison: Comparison) -> Table:
    """Seconds and passes a step of every cell, and relative to the row's Adam."""
    rows = []
    for row in comparison.rows:
        baseline = comparison.baseline(row)
        adam = None if baseline is None else step_cost(comparison, row, baseline)
        for label in comparison.labels:
            if comparison.finished(row, label):
                cost = step_cost(comparison, row, label)
                rows.append((row_cell(row), label_cell(label), *_cost_cells(cost, adam)))
    return Table(
        key="step-cost",
        title="The cost of a step",
        caption=f"Medians over seeds; × is relative to Adam of the same row. {NOISY}",
        columns=(
            "row",
            "optimizer",
            "seconds a step",
            "× Adam",
            "forward passes a step",
            "× Adam",
            "backward passes a step",
        ),
        rows=without_repeats(rows),
    )


def _cost_cells(cost: dict[str, float], adam: dict[str, float] | None) -> tuple[Cell, ...]:
    def relative(name: str) -> Cell:
        if adam is None or not (cost[name] > 0 and adam[name] > 0):
            return Cell(DASH)
        return Cell(f"{cost[name] / adam[name]:.2f}")

    return (
        Cell(f"{cost['seconds']:.3g}"),
        relative("seconds"),
        Cell(f"{cost['forward']:.2f}"),
        relative("forward"),
        Cell(f"{cost['backward']:.2f}"),
    )


# -------------------------------------------------------------------------------- time to target


@dataclass(frozen=True)
class Reached:
    """How long the runs of a cell took to the target: medians over seeds, inf for never."""

    runs: int
    reached: int
    medians: dict[str, float]


def target(comparison: Comparison, row: str) -> float | None:
    """The mean final validation score of the row's Adam; None where there is none."""
    baseline = comparison.baseline(row)
    if baseline is None:
        return None
    mean = comparison.sample(row, baseline, FINAL_SCORE).mean
    return mean if math.isfinite(mean) else None


def time_to_target(comparison: Comparison, row: str, label: str) -> Reached | None:
    """Of the finished and diverged runs of a cell; None where there are none, or no target.

    A run reaches the target at its first evaluation that is at least as good.
    """
    goal = target(comparison, row)
    runs = [run for run in comparison.runs(row, label) if run.status != "unfinished"]
    if goal is None or not runs:
        return None
    firsts = [_first_at(run, goal) for run in runs]
    medians = {
        unit: statistics.median(math.inf if first is None else first[unit] for first in firsts)
        for unit in UNITS
    }
    return Reached(len(runs), sum(first is not None for first in firsts), medians)


def _first_at(run: RunRecord, goal: float) -> dict[str, float] | None:
    """The first evaluation at the goal or beyond it; None if there is none."""
    if run.score not in run.evaluations:
        return None
    scores = run.evaluations[run.score].to_numpy()
    there = scores <= goal if run.score_is_loss else scores >= goal
    if not there.any():
        return None
    first = run.evaluations.iloc[int(np.argmax(there))]
    return {unit: float(first[unit]) for unit in UNITS}


def time_to_target_table(comparison: Comparison) -> Table:
    """Steps, epochs, forward passes and seconds to the result of the tuned Adam."""
    rows = []
    for row in comparison.rows:
        goal = target(comparison, row)
        for label in comparison.labels:
            reached = time_to_target(comparison, row, label)
            if reached is not None and goal is not None:
                name = row_cell(row, f"target {loss_text(goal)}")
                rows.append((name, label_cell(label), *_reached_cells(reached)))
    return Table(
        key="time-to-target",
        title="Time to Adam's result",
        caption="The target of a row is the mean final validation score of its Adam. Counted up to "
        "the first evaluation that is at least as good, medians over seeds; a run that never gets "
        "there counts as infinitely long. Adam itself may miss its own mean. " + NOISY,
        columns=("row", "optimizer", "reached by", "steps", "epochs", "forward passes", "seconds"),
        rows=without_repeats(rows),
    )


def _reached_cells(reached: Reached) -> tuple[Cell, ...]:
    texts = [f"{reached.reached} of {reached.runs}"]
    if math.isinf(reached.medians["step"]):
        return tuple(map(Cell, (*texts, "not reached", *[DASH] * (len(UNITS) - 1))))
    for unit in UNITS:
        value = reached.medians[unit]
        if unit in ("step", "forward_passes"):
            texts.append(f"{value:.0f}")
        else:
            texts.append(f"{value:.3g}" if unit == "epoch" else f"{value:.1f}")
    return tuple(Cell(text) for text in texts)


# -------------------------------------------------------------------------- performance profiles


def profiles(results: Results) -> pd.DataFrame:
    """For each label, the share of rows in which it is within a factor τ of the fastest.

    Columns label, tau, share: the corners of a step function that is constant from a tau to the
    next, from tau = 1 to the largest finite ratio of all. A row's times are the medians over
    seeds of the seconds of training to Adam's final score. Rows whose target nobody reaches are
    left out; a label without runs in a row has not reached its target.
    Source: Dolan and Moré, Benchmarking optimization software with performance profiles (2002).
    """
    comparison = Comparison(results)
    ratios = _ratios(comparison)
    if not ratios:
        return pd.DataFrame({"label": pd.Series(dtype=str), "tau": [], "share": []})
    taus = sorted({1.0, *(r for row in ratios for r in row.values() if math.isfinite(r))})
    shown = [label for label in comparison.labels if any(label in row for row in ratios)]
    return pd.DataFrame(
        [
            {
                "label": label,
                "tau": tau,
                "share": sum(row.get(label, math.inf) <= tau for row in ratios) / len(ratios),
            }
            for label in shown
            for tau in taus
        ]
    )


def _ratios(comparison: Comparison) -> list[dict[str, float]]:
    """For each row with a time, every label's time over the shortest."""
    rows = []
    for row in comparison.rows:
        times = {}
        for label in comparison.labels:
            reached = time_to_target(comparison, row, label)
            if reached is not None:
                times[label] = reached.medians["seconds"]
        fastest = min(times.values(), default=math.inf)
        if 0 < fastest < math.inf:
            rows.append({label: time / fastest for label, time in times.items()})
    return rows
