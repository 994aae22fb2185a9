"""Curves of few enough points to draw: which runs a line stands for, and the band around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import RunRecord

# More points than a panel has pixels.
MAX_POINTS = 1000

Lines = dict[str, list[RunRecord]]
"""The lines of a panel: label → the runs of its seeds."""


def lines_by_row(
    comparison: Comparison, keep: Callable[[RunRecord], bool] = lambda run: True
) -> dict[str, Lines]:
    """The runs to draw: those that took a step, and that `keep` wants.

    Rows and labels are in the order of the tables; those without runs are left out.
    """
    panels: dict[str, Lines] = {}
    for row in comparison.rows:
        for label in comparison.labels:
            runs = [run for run in comparison.cell(row, label)["run"] if len(run.steps)]
            if kept := [run for run in runs if keep(run)]:
                panels.setdefault(row, {})[label] = kept
    return panels


def seeds_explained(panels: dict[str, Lines]) -> str:
    """The sentence of a caption that explains line and band."""
    if all(len(runs) == 1 for lines in panels.values() for runs in lines.values()):
        return "One seed per line."
    return "Lines are medians over the seeds, bands reach from the lowest to the highest seed."


class Curve(NamedTuple):
    """One run: finite points only, x ascending."""

    x: np.ndarray
    y: np.ndarray


class Band(NamedTuple):
    """The median over runs, and the lowest and the highest of them; NaN where there is none."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def smooth_curve(x: np.ndarray, y: np.ndarray) -> Curve:
    """`y` thinned to at most `MAX_POINTS` points and then smoothed over a fiftieth of the run."""
    x, y = thinned(np.asarray(x, dtype=float)), smoothed(thinned(np.asarray(y, dtype=float)))
    finite = np.isfinite(x) & np.isfinite(y)
    return Curve(x[finite], y[finite])


def held_to(curve: Curve, x: float) -> Curve:
    """The curve with its last value kept until `x`."""
    if len(curve.x) == 0 or curve.x[-1] >= x:
        return curve
    return Curve(np.append(curve.x, x), np.append(curve.y, curve.y[-1]))


def thinned(values: np.ndarray) -> np.ndarray:
    """The means of at most `MAX_POINTS` blocks of equal length, the last may be shorter.

    Values that are not finite are left out; a block without any other is NaN.
    """
    length = -(-len(values) // MAX_POINTS)
    if length <= 1:
        return values
    starts = np.arange(0, len(values), length)
    finite = np.isfinite(values)
    totals = np.add.reduceat(np.where(finite, values, 0.0), starts)
    counts = np.add.reduceat(finite.astype(float), starts)
    means = np.full(len(starts), np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means


def smoothed(values: np.ndarray) -> np.ndarray:
    """The exponential mean over about a fiftieth of the run, corrected for its start.

    Values that are not finite are left out of the mean, and the result has a gap there.
    """
    finite = np.isfinite(values)
    known = pd.Series(np.where(finite, values, np.nan))
    means = known.ewm(alpha=1.0 / max(1.0, len(values) / 50), ignore_na=True).mean()
    result: np.ndarray = means.where(finite).to_numpy()
    return result


def band(curves: Sequence[Curve]) -> Band:
    """The curves on one grid. Beyond its own ends a run is left out, never prolonged."""
    curves = [curve for curve in curves if len(curve.x) > 0]
    if not curves:
        return Band(*(np.empty(0) for _ in range(4)))
    first = min(curve.x[0] for curve in curves)
    last = max(curve.x[-1] for curve in curves)
    grid = np.linspace(first, last, MAX_POINTS)
    table = [np.interp(grid, c.x, c.y, left=np.nan, right=np.nan) for c in curves]
    return band_of_columns(grid, np.stack(table))


def band_of_columns(x: np.ndarray, table: np.ndarray) -> Band:
    """Median, minimum and maximum of each column of `table` (runs × points), without its NaNs."""
    columns = pd.DataFrame(np.where(np.isfinite(table), table, np.nan))
    summaries = (columns.median(), columns.min(), columns.max())
    return Band(x, *(summary.to_numpy() for summary in summaries))


def spans_decades(values: np.ndarray) -> bool:
    """True for positive values that a linear axis would flatten."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) > 0 and finite.min() > 0 and finite.max() > 30 * finite.min())
