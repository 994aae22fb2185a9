"""Runs of several seeds as one curve with a band around it, of few enough points to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.report.figures.run_figure import smoothed

# More points than a panel has pixels.
MAX_POINTS = 1000


@dataclass(frozen=True)
class Curve:
    """One run: finite points only, x ascending."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Band:
    """The median over runs, and the lowest and the highest of them; NaN where there is none."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def smooth_curve(x: np.ndarray, y: np.ndarray) -> Curve:
    """`y` thinned to at most `MAX_POINTS` points and then smoothed over a fiftieth of the run."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return finite_curve(thinned(x), smoothed(thinned(y)))


def finite_curve(x: np.ndarray, y: np.ndarray) -> Curve:
    """The points of which both coordinates are finite."""
    kept = np.isfinite(x) & np.isfinite(y)
    return Curve(x[kept], y[kept])


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
    known = np.isfinite(table).any(axis=0)
    rows = np.full((3, len(x)), np.nan)
    if known.any():
        columns = np.where(np.isfinite(table[:, known]), table[:, known], np.nan)
        summaries = (np.nanmedian, np.nanmin, np.nanmax)
        rows[:, known] = np.stack([summary(columns, axis=0) for summary in summaries])
    return Band(x, *rows)
