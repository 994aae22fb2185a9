"""Curves of few enough points to draw, and bands around the median of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

# More points than a panel has pixels.
MAX_POINTS = 1000


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
    length = max(1, -(-len(values) // MAX_POINTS))
    known = pd.Series(np.where(np.isfinite(values), values, np.nan))
    means: np.ndarray = known.groupby(np.arange(len(values)) // length).mean().to_numpy()
    return means


def smoothed(values: np.ndarray) -> np.ndarray:
    """The exponential mean over about a fiftieth of the run, corrected for its start.

    Values that are not finite are left out of the mean, and the result has a gap there.
    """
    known = pd.Series(np.where(np.isfinite(values), values, np.nan))
    means = known.ewm(alpha=1.0 / max(1.0, len(values) / 50), ignore_na=True).mean()
    result: np.ndarray = means.where(known.notna()).to_numpy()
    return result


def band(curves: Sequence[Curve]) -> Band:
    """The curves on one grid. Beyond its own ends a run is left out, never prolonged."""
    curves = [curve for curve in curves if len(curve.x) > 0]
    if not curves:
        return Band(*(np.empty(0) for _ in range(4)))
    ends = min(curve.x[0] for curve in curves), max(curve.x[-1] for curve in curves)
    grid = np.linspace(*ends, MAX_POINTS)
    table = [np.interp(grid, c.x, c.y, left=np.nan, right=np.nan) for c in curves]
    return band_of_columns(grid, np.stack(table))


def band_of_columns(x: np.ndarray, table: np.ndarray) -> Band:
    """Median, minimum and maximum of each column of `table` (runs × points), without its NaNs."""
    columns = pd.DataFrame(np.where(np.isfinite(table), table, np.nan))
    parts = (columns.median(), columns.min(), columns.max())
    return Band(x, *(part.to_numpy() for part in parts))


def spans_decades(values: np.ndarray) -> bool:
    """True for positive values that a linear axis would flatten."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) > 0 and finite.min() > 0 and finite.max() > 30 * finite.min())
