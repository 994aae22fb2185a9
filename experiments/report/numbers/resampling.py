"""The percentile bootstrap over seeds or rows, at 95 %: over all resamples where they are few."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy import stats

COVERAGE = 0.95
SEED = 20240318

# All resamples of 8 values are 6435 multisets.
_MOST_ENUMERATED = 8


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean of the values; NaN for a single one."""
    return _interval((values,), lambda mean: mean)


def ratio_interval(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Of mean(ours) / mean(theirs) where both are resampled in pairs; NaN for fewer than two."""
    return _interval((ours, theirs), np.divide)


def _interval(samples: tuple[np.ndarray, ...], of_means: Callable[..., Any]) -> tuple[float, float]:
    n = len(samples[0])
    if n < 2:
        return math.nan, math.nan
    tail = (1.0 - COVERAGE) / 2.0
    if n <= _MOST_ENUMERATED:
        counts, weights = _all_resamples(n)
        found = of_means(*(counts @ values / n for values in samples))
        low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf", weights=weights)
        return float(low), float(high)
    interval = stats.bootstrap(
        samples,
        lambda *drawn, axis: of_means(*(np.mean(values, axis=axis) for values in drawn)),
        paired=True,
        vectorized=True,
        confidence_level=COVERAGE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _all_resamples(n: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each multiset of n has each of n values, and in how many orders it is drawn."""
    chosen = np.array(list(combinations_with_replacement(range(n), n)))
    counts = np.stack([(chosen == i).sum(axis=1) for i in range(n)], axis=1)
    factorials = np.array([math.factorial(k) for k in range(n + 1)], dtype=float)
    return counts, factorials[n] / factorials[counts].prod(axis=1)
