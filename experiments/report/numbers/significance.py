"""Statistical significance of differences: paired by seed against Adam, and over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy import stats

from experiments.report.numbers.cells import (
    DASH,
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    Comparison,
    loss_text,
)
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import Cell, Table, filled, without_repeats

ALPHA = 0.05
_COVERAGE = 0.95
_SEED = 20240318

# All signs of 16 values; all resamples of 8 values are 6435 multisets.
_MOST_SIGNS = 2**16
_MOST_ENUMERATED = 8
_LAST_COLUMNS = ("95 % interval", "p", "verdict")


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, its interval, and a p-value."""

    n: int
    mean: float
    low: float
    high: float
    p: float

    def verdict(self, *, higher_is_better: bool, unit: str = "seed") -> str:
        """The conclusion in plain words; `unit` is what was paired."""
        if smallest_p(self.n) > ALPHA:
            return too_few(self.n, unit)
        if self.p > ALPHA:
            return "no difference shown"
        return "better" if (self.mean > 0) == higher_is_better else "worse"


def difference(values: Sequence[float] | np.ndarray) -> Difference:
    """The statistics of at least one paired difference; the interval is NaN for a single one.

    The interval is the percentile bootstrap's of the mean at 95 %, over all resamples for up to
    8 values. p is that of the sign-flip permutation test, two-sided: the share of all 2ⁿ ways to
    put signs to the differences whose mean is at least as far from 0. The order of the values
    makes no difference.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    low, high = interval((ordered,), lambda mean: mean)
    p = 1.0
    if len(ordered) > 1 and ordered.any():
        test = stats.permutation_test(
            (ordered,),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            n_resamples=_MOST_SIGNS,
            vectorized=True,
            batch=1024,
            rng=np.random.default_rng(_SEED),
        )
        p = float(test.pvalue)
    return Difference(len(ordered), float(ordered.mean()), low, high, p)


def smallest_p(n: int) -> float:
    """The smallest p that n paired differences can give: all of one sign, 2 / 2ⁿ."""
    return min(1.0, 2.0 / 2.0**n)


def too_few(n: int, unit: str = "seed") -> str:
    """The words for too few pairs."""
    why = f"{n} {unit}s are too few: the smallest possible p is {smallest_p(n):g}"
    return f"1 {unit} is too few" if n == 1 else why


def interval(samples: tuple[np.ndarray, ...], of_means: Callable[..., Any]) -> tuple[float, float]:
    """The 95 % interval of a function of the samples' means; NaN for fewer than two values.

    It is the percentile bootstrap's, of samples that are drawn in pairs: over all resamples where
    they are few.
    """
    n = len(samples[0])
    if n < 2:
        return math.nan, math.nan
    if n <= _MOST_ENUMERATED:
        # All multisets: how often each has each value, and in how many orders it is drawn.
        chosen = np.array(list(combinations_with_replacement(range(n), n)))
        counts = np.stack([(chosen == i).sum(axis=1) for i in range(n)], axis=1)
        factorials = np.array([math.factorial(k) for k in range(n + 1)], dtype=float)
        weights = factorials[n] / factorials[counts].prod(axis=1)
        values = of_means(*(counts @ sample / n for sample in samples))
        tail = (1.0 - _COVERAGE) / 2.0
        low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf", weights=weights)
        return float(low), float(high)
    found = stats.bootstrap(
        samples,
        lambda *drawn, axis: of_means(*(np.mean(values, axis=axis) for values in drawn)),
        paired=True,
        vectorized=True,
        confidence_level=_COVERAGE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


# -------------------------------------------------------------------- differences of the cells


def loss_ratios(comparison: Comparison) -> dict[str, Difference]:
    """By label, the differences over rows of the log of the mean final training loss to Adam's."""
    means = comparison.means(FINAL_TRAIN_LOSS)
    logs = np.log(means.where(means > 0))
    found = {}
    for label in comparison.labels:
        rows = [(row, adam) for row, adam in comparison.baselines.items() if adam != label]
        values = [logs.at[row, label] - logs.at[row, adam] for row, adam in rows]
        if known := [value for value in values if math.isfinite(value)]:
            found[label] = difference(known)
    return found


def numbers_of_pairs(comparison: Comparison) -> list[int]:
    """How many seeds a label of a row shares with the row's Adam; each number once."""
    numbers = {
        len(comparison.pairs(row, label, baseline, FINAL_TRAIN_LOSS)[0])
        for row, baseline in comparison.baselines.items()
        for label in comparison.labels
        if label != baseline
    }
    return sorted(numbers - {0})


# -------------------------------------------------------------------------------------- tables


def paired_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Score and loss of every label against Adam, row by row."""
    score, loss = "Final score against Adam", "Final training loss against Adam"
    return (
        _paired_table(comparison, FINAL_SCORE, "paired-score", score),
        _paired_table(comparison, FINAL_TRAIN_LOSS, "paired-loss", loss),
    )


def _paired_table(comparison: Comparison, measure: str, key: str, title: str) -> Table:
    rows = []
    for row, baseline in comparison.baselines.items():
        is_loss = comparison.lower_is_better(row, measure)
        name = Cell(row_title(row), note="lower is better" if is_loss else "")
        for label in comparison.labels:
            ours, theirs = comparison.pairs(row, label, baseline, measure)
            if label == baseline or not len(ours):
                continue
            found = difference(ours - theirs)
            # The section says why few seeds are too few.
            verdict, _, _ = found.verdict(higher_is_better=not is_loss).partition(":")
            bounds = f"{found.low:+.3g} to {found.high:+.3g}" if found.n > 1 else DASH
            texts = (str(found.n), f"{found.mean:+.3g}", bounds, f"{found.p:.3g}", verdict)
            rows.append((name, label_title(label), label_title(baseline), *texts))
    return Table(
        key=key,
        title=title,
        caption="Mean over seeds of optimizer - baseline, with the 95 % interval of the bootstrap "
        "over seeds, and p of the exact sign-flip permutation test. Intervals of few seeds are "
        "too narrow. p is not corrected for the number of comparisons.",
        columns=("row", "optimizer", "baseline", "n", "difference", *_LAST_COLUMNS),
        rows=without_repeats(rows),
    )


def over_rows_table(comparison: Comparison) -> Table:
    """The geometric mean over rows of loss / Adam's loss, for every label."""
    rows = []
    for label, found in loss_ratios(comparison).items():
        ratio, low, high = (loss_text(math.exp(x)) for x in (found.mean, found.low, found.high))
        bounds = f"{low} to {high}" if found.n > 1 else DASH
        verdict = found.verdict(higher_is_better=False, unit="row")
        rows.append((label_title(label), str(found.n), ratio, bounds, f"{found.p:.3g}", verdict))
    return Table(
        key="loss-over-rows",
        title="Final training loss relative to Adam, over all rows",
        caption="Geometric mean over rows of (mean final training loss / that of Adam): 0.5 is "
        "half of Adam's loss. The interval is the bootstrap's over rows, p the exact sign-flip "
        "permutation test's on the differences of the logarithms.",
        columns=("optimizer", "rows", "ratio", *_LAST_COLUMNS),
        rows=filled(rows),
    )
