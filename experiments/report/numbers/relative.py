"""Final validation losses as multiples of the tuned baseline's: row by row, and over rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from experiments.report.numbers.cells import (
    DASH,
    FINAL_VAL_LOSS,
    Comparison,
    Sample,
    loss_text,
    notes,
    row_cell,
    usual_seeds,
)
from experiments.report.numbers.resampling import ratio_interval
from experiments.report.numbers.tuning_grid import grid
from experiments.report.numbers.tuning_terms import terms
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import Cell, Table


@dataclass(frozen=True)
class Ratio:
    """A cell: its mean final validation loss over that of the row's baseline; NaN: none."""

    row: str
    label: str
    baseline: str
    value: float
    low: float
    """Of the 95 % interval; NaN for the baseline itself, and for fewer than two pairs."""
    high: float
    sample: Sample
    """The losses themselves."""

    @property
    def lost(self) -> bool:
        """Whether a run of the cell came to an end without a result."""
        return self.sample.lost > 0


def ratios(comparison: Comparison) -> list[Ratio]:
    """All wanted cells of the rows that have a tuned baseline: rows, then labels."""
    found = []
    for row, label in product(comparison.rows, comparison.labels):
        baseline = comparison.tuned_baseline(row)
        if baseline is not None and comparison.is_wanted(row, label):
            found.append(_ratio(comparison, row, label, baseline))
    return found


def _ratio(comparison: Comparison, row: str, label: str, baseline: str) -> Ratio:
    ours = comparison.sample(row, label, FINAL_VAL_LOSS)
    theirs = comparison.sample(row, baseline, FINAL_VAL_LOSS)
    value = ours.mean / theirs.mean if theirs.mean > 0 else math.nan
    low, high = math.nan, math.nan
    if label != baseline:
        low, high = ratio_interval(*_pairs(comparison, row, label, baseline))
    return Ratio(row, label, baseline, value, low, high, ours)


def _pairs(
    comparison: Comparison, row: str, label: str, baseline: str
) -> tuple[np.ndarray, np.ndarray]:
    """The losses of both for the seeds that both have."""
    ours, theirs = (
        {run.seed: FINAL_VAL_LOSS.value(run) for run in comparison.finished(row, name)}
        for name in (label, baseline)
    )
    pairs = [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    array = np.array([pair for pair in pairs if all(map(math.isfinite, pair))]).reshape(-1, 2)
    return array[:, 0], array[:, 1]


@dataclass(frozen=True)
class OverRows:
    """What a label's ratios say together."""

    label: str
    rows: int
    """How many rows it has a ratio in."""
    lost: tuple[Ratio, ...]
    """Those of rows in which a run of it diverged or was stuck; with one it has neither a mean nor
    a worst row."""
    geometric_mean: float
    worst: Ratio | None


def over_rows(found: Sequence[Ratio]) -> list[OverRows]:
    """For every label, over the rows that it has."""
    labels = dict.fromkeys(ratio.label for ratio in found)
    return [_over_rows([ratio for ratio in found if ratio.label == label]) for label in labels]


def _over_rows(of_label: Sequence[Ratio]) -> OverRows:
    known = [ratio for ratio in of_label if math.isfinite(ratio.value)]
    lost = tuple(ratio for ratio in of_label if ratio.lost)
    mean, worst = math.nan, None
    if known and not lost:
        mean = float(stats.gmean([ratio.value for ratio in known]))
        worst = max(known, key=lambda ratio: ratio.value)
    return OverRows(of_label[0].label, len(known), lost, mean, worst)


# -------------------------------------------------------------------------------- as it is shown


def relative_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The table of ratios, or none where no column was tuned."""
    found = ratios(comparison)
    if not found:
        return ()
    rows = list(dict.fromkeys(ratio.row for ratio in found))
    table = Table(
        key="relative-validation-loss",
        title="Validation loss relative to the tuned baseline",
        caption=_caption(comparison, found, rows),
        columns=("", *map(label_title, comparison.labels)),
        rows=(
            *(_row(comparison, [r for r in found if r.row == row]) for row in rows),
            *_last_rows(comparison, over_rows(found), len(rows)),
        ),
    )
    return (table,)


def _caption(comparison: Comparison, found: Sequence[Ratio], rows: Sequence[str]) -> str:
    baselines = list(dict.fromkeys(label_title(ratio.baseline) for ratio in found))
    places = {(ratio.row, ratio.baseline) for ratio in found}
    points = [p for p in grid(comparison.results) if (p.row, p.label) in places]
    left_out = [row_title(row) for row in comparison.rows if row not in rows]
    sentences = [
        f"Mean final validation loss over that of {' or '.join(baselines)}, the first column of "
        "the sweep whose rate was tuned; below 1 is better.",
        terms(points),
        "In small type the 95 % interval of the bootstrap over the seeds that both have, in pairs; "
        "intervals of few seeds are too narrow. Best of a row in bold, unless a run of it "
        "diverged. The last rows are over the rows that an optimizer has; with a diverged run in "
        "one of them it has no mean.",
        f"Without a tuned column, and left out: {', '.join(left_out)}." if left_out else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _row(comparison: Comparison, of_row: Sequence[Ratio]) -> tuple[Cell, ...]:
    by_label = {ratio.label: ratio for ratio in of_row}
    usual = usual_seeds(comparison)
    sound = [r.value for r in of_row if math.isfinite(r.value) and not r.lost]
    best = min(sound) if len(sound) > 1 else math.nan
    cells = [
        _cell(by_label[label], usual, best) if label in by_label else Cell(DASH)
        for label in comparison.labels
    ]
    return (row_cell(of_row[0].row, _row_note(of_row, by_label)), *cells)


def _row_note(of_row: Sequence[Ratio], by_label: dict[str, Ratio]) -> str:
    """What is wrong with the baseline, so that no ratio can be had or the ratios flatter it."""
    baseline = by_label[of_row[0].baseline]
    title = label_title(baseline.label)
    if baseline.lost:
        return f"{baseline.sample.lost} of {title} {baseline.sample.instead}"
    return "" if baseline.sample.n else f"{title} is missing"


def _cell(ratio: Ratio, usual: int, best: float) -> Cell:
    told = [notes(ratio.sample, usual)]
    if ratio.sample.n == 0:
        return Cell(ratio.sample.instead, note=told[0])
    if math.isnan(ratio.value):
        return Cell(DASH, note=told[0])
    if math.isfinite(ratio.low):
        told.insert(0, f"{loss_text(ratio.low)} to {loss_text(ratio.high)}")
    bold = ratio.value == best and not ratio.lost
    return Cell(loss_text(ratio.value), bold, note=", ".join(filter(None, told)))


def _last_rows(
    comparison: Comparison, over: Sequence[OverRows], rows: int
) -> tuple[tuple[Cell, ...], ...]:
    by_label = {of_label.label: of_label for of_label in over}
    of_all = [o.geometric_mean for o in over if o.rows == rows and o.worst is not None]
    best = min(of_all) if len(of_all) > 1 else math.nan
    means, worst = [], []
    for label in comparison.labels:
        of_label = by_label.get(label)
        means.append(Cell(DASH) if of_label is None else _mean_cell(of_label, rows, best))
        worst.append(Cell(DASH) if of_label is None else _worst_cell(of_label))
    count = "1 row" if rows == 1 else f"{rows} rows"
    return (Cell("geometric mean", note=count), *means), (Cell("worst row", note=count), *worst)


def _mean_cell(of_label: OverRows, rows: int, best: float) -> Cell:
    if of_label.lost:
        end = of_label.lost[0].sample.instead
        return Cell(end, note=f"in {len(of_label.lost)} of {rows} rows")
    note = "" if of_label.rows == rows else f"{of_label.rows} of {rows} rows"
    if of_label.worst is None:
        return Cell("missing", note=note)
    mean = of_label.geometric_mean
    return Cell(loss_text(mean), bold=not note and mean == best, note=note)


def _worst_cell(of_label: OverRows) -> Cell:
    if of_label.lost:
        return Cell(of_label.lost[0].sample.instead)
    if of_label.worst is None:
        return Cell("missing")
    return Cell(loss_text(of_label.worst.value), note=row_title(of_label.worst.row))
