"""Final validation losses as multiples of the tuned baseline's: row by row, and over rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from experiments.report.numbers.cells import DASH, FINAL_VAL_LOSS, Comparison, Sample, loss_text
from experiments.report.numbers.significance import interval
from experiments.report.numbers.tuning_grid import terms, tuning_points
from experiments.report.titles import counted, label_title, row_title
from experiments.report.write.document import Cell, Table


def relative_tables(comparison: Comparison) -> tuple[Table, ...]:
    """The table of ratios, or none where no column was tuned."""
    tuned = {cell.row: cell.label for cell in reversed(comparison.results.planned) if cell.tuned}
    baselines = {row: tuned[row] for row in comparison.rows if row in tuned}
    if not baselines:
        return ()
    # Of each cell, its mean over that of its row's baseline.
    means = comparison.means(FINAL_VAL_LOSS).loc[list(baselines)]
    of_baselines = pd.Series({row: means.at[row, label] for row, label in baselines.items()})
    ratios = means.div(of_baselines.where(of_baselines > 0), axis="index")
    points = tuning_points(comparison)
    left_out = [row_title(row) for row in comparison.rows if row not in baselines]
    sentences = [
        "Mean final validation loss over that of "
        f"{' or '.join(dict.fromkeys(map(label_title, baselines.values())))}, the first column of "
        "the sweep whose rate was tuned; below 1 is better.",
        terms(points[points["label"] == points["row"].map(baselines)]),
        "In small type the 95 % interval of the bootstrap over the seeds that both have, in pairs; "
        "intervals of few seeds are too narrow. Best of a row in bold, unless a run of it "
        "diverged. The last rows are over the rows that an optimizer has; with a diverged run in "
        "one of them it has no mean.",
        f"Rows without a tuned column are left out: {', '.join(left_out)}." if left_out else "",
    ]
    table = Table(
        key="relative-validation-loss",
        title="Validation loss relative to the tuned baseline",
        caption=" ".join(filter(None, sentences)),
        columns=("", *map(label_title, comparison.labels)),
        rows=(
            *(_row(comparison, row, baseline, ratios) for row, baseline in baselines.items()),
            *_last_rows(comparison, ratios),
        ),
    )
    return (table,)


def _row(comparison: Comparison, row: str, baseline: str, ratios: pd.DataFrame) -> tuple[Cell, ...]:
    samples = {x: comparison.sample(row, x, FINAL_VAL_LOSS) for x in comparison.labels}
    sound = [x for x, sample in samples.items() if sample.planned and not sample.lost]
    known = ratios.loc[row, sound].dropna()
    best = known.min() if len(known) > 1 else math.nan
    cells = []
    for label, sample in samples.items():
        ratio, note = ratios.at[row, label], sample.notes(comparison.usual_seeds)
        if sample.planned == 0 or (sample.n and math.isnan(ratio)):
            cells.append(Cell(DASH, note=note if sample.planned else ""))
        elif sample.n == 0:
            cells.append(Cell(sample.instead, note=note))
        else:
            pairs = comparison.pairs(row, label, baseline, FINAL_VAL_LOSS)
            low, high = interval(pairs, np.divide)
            if label != baseline and math.isfinite(low):
                note = ", ".join(filter(None, [f"{loss_text(low)} to {loss_text(high)}", note]))
            cells.append(Cell(loss_text(ratio), bool(ratio == best) and label in sound, note))
    # Why a row has no ratios, or ratios that flatter.
    lost, name = samples[baseline].lost, label_title(baseline)
    note = "" if samples[baseline].n else f"{name} is missing"
    if lost:
        note = f"{lost} of {name} {samples[baseline].instead}"
    return Cell(row_title(row), note=note), *cells


def _last_rows(comparison: Comparison, ratios: pd.DataFrame) -> tuple[tuple[Cell, ...], ...]:
    """The geometric mean of each label's ratios and its worst row, unless it lost a run."""
    rows = len(ratios)
    counts, worst = ratios.count(), ratios.max()
    with np.errstate(divide="ignore", invalid="ignore"):  # losses may be 0, or below
        means = np.exp(np.log(ratios).mean())
    lost: dict[str, list[Sample]] = {}
    for label in comparison.labels:
        samples = [comparison.sample(row, label, FINAL_VAL_LOSS) for row in ratios.index]
        lost[label] = [sample for sample in samples if sample.planned and sample.lost]
    complete = [x for x in comparison.labels if counts[x] == rows and not lost[x]]
    best = means[complete].min() if len(complete) > 1 else math.nan
    mean_cells, worst_cells = [], []
    for label in comparison.labels:
        of_rows = "" if counts[label] == rows else f"{counts[label]} of {rows} rows"
        if not any(comparison.seeds(row, label) for row in ratios.index):
            mean_cells.append(Cell(DASH))
            worst_cells.append(Cell(DASH))
        elif lost[label]:
            end = lost[label][0].instead
            mean_cells.append(Cell(end, note=f"in {len(lost[label])} of {rows} rows"))
            worst_cells.append(Cell(end))
        elif counts[label] == 0:
            mean_cells.append(Cell("missing", note=of_rows))
            worst_cells.append(Cell("missing"))
        else:
            bold = bool(means[label] == best) and label in complete
            mean_cells.append(Cell(loss_text(means[label]), bold, of_rows))
            row = ratios[label].idxmax()
            worst_cells.append(Cell(loss_text(worst[label]), note=row_title(row)))
    note = counted(rows, "row")
    return (
        (Cell("geometric mean", note=note), *mean_cells),
        (Cell("worst row", note=note), *worst_cells),
    )
