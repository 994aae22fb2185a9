"""How sure the differences are: paired by seed against Adam, and over rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.report.numbers.cells import (
    DASH,
    FINAL_SCORE,
    FINAL_TRAIN_LOSS,
    Comparison,
    Measure,
    label_cell,
    loss_text,
    row_cell,
    without_repeats,
)
from experiments.report.numbers.resampling import SEED, mean_interval
from experiments.report.write.document import Cell, Table

ALPHA = 0.05

# All signs of 16 values.
_MOST_SIGNS = 2**16


@dataclass(frozen=True)
class Difference:
    """What paired differences say: their mean, an interval, and a p-value."""

    n: int
    mean: float
    low: float
    high: float
    p: float


def difference(values: Sequence[float]) -> Difference:
    """Of at least one paired difference; the interval is NaN for a single one.

    The interval is the percentile bootstrap's of the mean at 95 %, over all resamples for up to
    8 values. p is that of the sign-flip permutation test, two-sided: the share of all 2ⁿ ways to
    put signs to the differences whose mean is at least as far from 0. The order of the values
    makes no difference.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    low, high = mean_interval(ordered)
    return Difference(len(ordered), float(ordered.mean()), low, high, _sign_flip(ordered))


def smallest_p(n: int) -> float:
    """The smallest p that n paired differences can give: all of one sign, 2 / 2ⁿ."""
    return min(1.0, 2.0 / 2.0**n)


def verdict(found: Difference, *, higher_is_better: bool, unit: str = "seed") -> str:
    """What may be concluded, in plain words; `unit` is what was paired."""
    if smallest_p(found.n) > ALPHA:
        return cannot_decide(found.n, unit)
    if found.p > ALPHA:
        return "no difference shown"
    return "better" if (found.mean > 0) == higher_is_better else "worse"


def short_verdict(found: Difference, *, higher_is_better: bool) -> str:
    """The verdict without its reason, for a table whose section gives that."""
    return verdict(found, higher_is_better=higher_is_better).partition(":")[0]


def cannot_decide(n: int, unit: str = "seed") -> str:
    """The words for too few pairs."""
    if n == 1:
        return f"1 {unit} cannot decide"
    return (
        f"{n} {unit}s cannot decide: the smallest p that {n} {unit}s can give is {smallest_p(n):g}"
    )


def _sign_flip(values: np.ndarray) -> float:
    if len(values) == 1 or not values.any():
        return 1.0
    found = stats.permutation_test(
        (values,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=_MOST_SIGNS,
        vectorized=True,
        batch=1024,
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


# --------------------------------------------------------------------------- pairs of the cells


def paired_by_seed(
    comparison: Comparison, row: str, label: str, baseline: str, measure: Measure
) -> list[float]:
    """Label less baseline, of the finished runs with the same seed, by seed."""
    ours = _by_seed(comparison, row, label, measure)
    theirs = _by_seed(comparison, row, baseline, measure)
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def _by_seed(comparison: Comparison, row: str, label: str, measure: Measure) -> dict[int, float]:
    values = {run.seed: measure.value(run) for run in comparison.finished(row, label)}
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


def log_loss_differences(comparison: Comparison, label: str) -> dict[str, float]:
    """For each row, log of the mean final training loss of `label` less that of the baseline."""
    differences = {}
    for row in comparison.rows:
        baseline = comparison.baseline(row)
        if baseline is None or baseline == label:
            continue
        ours = comparison.sample(row, label, FINAL_TRAIN_LOSS).mean
        theirs = comparison.sample(row, baseline, FINAL_TRAIN_LOSS).mean
        if ours > 0 and theirs > 0:
            differences[row] = math.log(ours) - math.log(theirs)
    return differences


# -------------------------------------------------------------------------------------- tables


def paired_tables(comparison: Comparison) -> tuple[Table, ...]:
    """Score and loss of every label against Adam, row by row."""
    return (
        _paired_table(comparison, FINAL_SCORE, "paired-score", "Final score against Adam"),
        _paired_table(
            comparison, FINAL_TRAIN_LOSS, "paired-loss", "Final training loss against Adam"
        ),
    )


def _paired_table(comparison: Comparison, measure: Measure, key: str, title: str) -> Table:
    rows = []
    for row in comparison.rows:
        baseline = comparison.baseline(row)
        if baseline is None:
            continue
        better = comparison.higher_is_better(row, measure)
        name = row_cell(row, "" if better else "lower is better")
        for label in comparison.labels:
            values = paired_by_seed(comparison, row, label, baseline, measure)
            if label != baseline and values:
                found = difference(values)
                said = short_verdict(found, higher_is_better=better)
                rows.append(
                    (name, label_cell(label), label_cell(baseline), *_cells(found), Cell(said))
                )
    return Table(
        key=key,
        title=title,
        caption="Mean over seeds of optimizer - baseline, with the 95 % interval of the bootstrap "
        "over seeds, and p of the exact sign-flip permutation test. Intervals of few seeds are "
        "too narrow. p is not corrected for the number of comparisons.",
        columns=(
            "row",
            "optimizer",
            "baseline",
            "n",
            "difference",
            "95 % interval",
            "p",
            "verdict",
        ),
        rows=without_repeats(rows),
    )


def too_few(comparison: Comparison) -> tuple[str, ...]:
    """A sentence for each number of pairs by seed that cannot decide."""
    numbers = {
        len(paired_by_seed(comparison, row, label, baseline, FINAL_TRAIN_LOSS))
        for row in comparison.rows
        if (baseline := comparison.baseline(row)) is not None
        for label in comparison.labels
        if label != baseline
    }
    return tuple(f"{cannot_decide(n)}." for n in sorted(numbers) if n > 0 and smallest_p(n) > ALPHA)


def over_rows_table(comparison: Comparison) -> Table:
    """The geometric mean over rows of loss / Adam's loss, for every label."""
    rows = []
    for label in comparison.labels:
        values = list(log_loss_differences(comparison, label).values())
        if not values:
            continue
        found = difference(values)
        ratio = [loss_text(math.exp(x)) for x in (found.mean, found.low, found.high)]
        interval = DASH if found.n == 1 else f"{ratio[1]} to {ratio[2]}"
        said = verdict(found, higher_is_better=False, unit="row")
        cells = (str(found.n), ratio[0], interval, f"{found.p:.3g}", said)
        rows.append((label_cell(label), *map(Cell, cells)))
    return Table(
        key="loss-over-rows",
        title="Final training loss relative to Adam, over all rows",
        caption="Geometric mean over rows of (mean final training loss / that of Adam): 0.5 is "
        "half of Adam's loss. The interval is the bootstrap's over rows, p the exact sign-flip "
        "permutation test's on the differences of the logarithms.",
        columns=("optimizer", "rows", "ratio", "95 % interval", "p", "verdict"),
        rows=tuple(rows),
    )


def _cells(found: Difference) -> tuple[Cell, ...]:
    interval = DASH if found.n == 1 else f"{found.low:+.3g} to {found.high:+.3g}"
    texts = (str(found.n), f"{found.mean:+.3g}", interval, f"{found.p:.3g}")
    return tuple(Cell(text) for text in texts)
