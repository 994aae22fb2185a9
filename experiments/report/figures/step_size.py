"""The steps that were taken, and the trials that the line searches needed for them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from experiments.report.figures import panels
from experiments.report.figures.bands import Band, Curve, band, smooth_curve
from experiments.report.figures.lines import (
    Cells,
    comparison_cells,
    labels_of,
    several_seeds,
    styles_of,
    without_empty,
)
from experiments.report.figures.palette import LineStyle
from experiments.report.read.records import Results, RunRecord
from experiments.report.write.document import Picture


def step_size_pictures(results: Results) -> tuple[Picture, ...]:
    """Step sizes and, if a line search is among the runs, trials; none without runs."""
    cells = comparison_cells(results)
    if not cells:
        return ()
    styles = styles_of(results)
    searching = _with_trials(cells)
    step_sizes = _step_sizes(cells, styles)
    return (step_sizes, _trials(searching, styles)) if searching else (step_sizes,)


def taken_steps(run: RunRecord) -> np.ndarray:
    """`step_size · factor`, the step that was taken; the factor is 1 where there is none."""
    factor = run.steps["factor"].to_numpy(dtype=float)
    taken: np.ndarray = run.steps["step_size"].to_numpy(dtype=float) * np.where(
        np.isnan(factor), 1.0, factor
    )
    return taken


def _draw_bands(axes: Axes, bands: dict[str, Band], styles: dict[str, LineStyle]) -> None:
    for label, drawn in bands.items():
        panels.draw_band(axes, drawn, styles[label])


# -------------------------------------------------------------------------------- step sizes


def _step_sizes(cells: Cells, styles: dict[str, LineStyle]) -> Picture:
    def draw(axes: Axes, row: str) -> None:
        bands = {
            label: _powers(band([_log_step_curve(run) for run in runs]))
            for label, runs in cells[row].items()
        }
        _draw_bands(axes, bands, styles)
        _log_axis(axes, list(bands.values()))
        panels.step_axis(axes, "step")
        axes.set_ylabel("step size")

    caption = (
        "The step size times the annealing factor, as a geometric mean over a fiftieth of the run. "
    )
    return Picture(
        key="step-size",
        title="Step size against steps",
        caption=caption + panels.seeds_explained(several=several_seeds(cells)),
        alternative=panels.described("Step size against steps", [*cells], labels_of(cells)),
        png=panels.multiples([*cells], labels_of(cells), styles, draw),
    )


def _log_step_curve(run: RunRecord) -> Curve:
    taken = taken_steps(run)
    logarithm = np.full(len(taken), np.nan)
    np.log10(taken, out=logarithm, where=taken > 0)
    return smooth_curve(run.steps["step"].to_numpy(), logarithm)


def _powers(logarithms: Band) -> Band:
    low, middle, high = (
        10.0**part for part in (logarithms.low, logarithms.middle, logarithms.high)
    )
    return Band(logarithms.x, middle, low, high)


def _log_axis(axes: Axes, drawn: list[Band]) -> None:
    """Logarithmic, and cut below: the last annealed steps would squeeze all others together."""
    lines = [one.middle[np.isfinite(one.middle)] for one in drawn]
    if not any(len(line) > 0 for line in lines):
        return
    panels.log_axis(axes)
    typical = min(float(np.quantile(line, 0.1)) for line in lines if len(line) > 0)
    lowest = min(float(line.min()) for line in lines if len(line) > 0)
    if lowest < typical / 10:
        axes.set_ylim(bottom=typical / 10)


# ------------------------------------------------------------------------------------ trials


def _with_trials(cells: Cells) -> Cells:
    """The cells of optimizers that count trials."""
    searching = {
        row: {
            label: runs if any(run.steps["trials"].notna().any() for run in runs) else []
            for label, runs in by_label.items()
        }
        for row, by_label in cells.items()
    }
    return without_empty(searching)


def _trials(cells: Cells, styles: dict[str, LineStyle]) -> Picture:
    def draw(axes: Axes, row: str) -> None:
        bands = {
            label: band([_trials_curve(run) for run in runs]) for label, runs in cells[row].items()
        }
        _draw_bands(axes, bands, styles)
        panels.step_axis(axes, "step")
        axes.set_ylabel("trials a step")
        axes.set_ylim(bottom=0)
        _cut_first_searches(axes, list(bands.values()))

    caption = (
        "How many step sizes a line search tried before it took one, as a mean over a fiftieth of "
        "the run; a step that repeats the last one without a search counts zero. Where the first "
        "searches would flatten all others, the panel is cut and says how high they go. "
    )
    return Picture(
        key="trials",
        title="Trials a step",
        caption=caption + panels.seeds_explained(several=several_seeds(cells)),
        alternative=panels.described("Trials a step", [*cells], labels_of(cells)),
        png=panels.multiples([*cells], labels_of(cells), styles, draw),
    )


def _trials_curve(run: RunRecord) -> Curve:
    return smooth_curve(run.steps["step"].to_numpy(), run.steps["trials"].to_numpy())


def _cut_first_searches(axes: Axes, drawn: list[Band]) -> None:
    """Cut the panel at twice what most steps need, if the highest is far above it."""
    highs = [one.high[np.isfinite(one.high)] for one in drawn]
    highs = [high for high in highs if len(high) > 0]
    if not highs:
        return
    usual = max(float(np.quantile(high, 0.95)) for high in highs)
    highest = max(float(high.max()) for high in highs)
    if highest > 4 * usual > 0:
        axes.set_ylim(top=2 * usual)
        axes.text(
            0.03, 0.97, f"up to {highest:.0f}", transform=axes.transAxes, va="top", fontsize=9
        )
