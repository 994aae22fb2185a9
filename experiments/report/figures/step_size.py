"""The steps that were taken, and the trials that the line searches needed for them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from experiments.report.figures import panels
from experiments.report.figures.curves import (
    Band,
    Lines,
    band,
    lines_by_row,
    seeds_explained,
    smooth_curve,
)
from experiments.report.figures.palette import Styles
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import RunRecord
from experiments.report.write.document import Figure


def step_size_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """Step sizes and, if a line search is among the runs, trials; none without runs."""
    lines = lines_by_row(comparison)
    searches = lines_by_row(comparison, lambda run: bool(run.steps["trials"].notna().any()))
    return (
        *panels.panel_figures(
            comparison,
            lines,
            _draw_step_sizes,
            key="step-size",
            title="Step size against steps",
            caption="The step size times the annealing factor, as a geometric mean over a "
            f"fiftieth of the run. {seeds_explained(lines)}",
            shows="Step size against steps",
        ),
        *panels.panel_figures(
            comparison,
            searches,
            _draw_trials,
            key="trials",
            title="Trials per step",
            caption="How many step sizes a line search tried before it took one, as a mean over a "
            "fiftieth of the run; a step that repeats the last one without a search counts zero. "
            "Where the first searches would flatten all others, the panel is cut and says how "
            f"high they go. {seeds_explained(searches)}",
            shows="Trials per step",
        ),
    )


# -------------------------------------------------------------------------------- step sizes


def _draw_step_sizes(axes: Axes, lines: Lines, styles: Styles) -> None:
    medians = []
    for label, runs in lines.items():
        x, *logarithms = band([smooth_curve(run.steps["step"], _log_steps(run)) for run in runs])
        drawn = Band(x, *(10.0**part for part in logarithms))
        panels.draw_band(axes, drawn, styles[label])
        medians.append(drawn.middle[np.isfinite(drawn.middle)])
    medians = [median for median in medians if len(median) > 0]
    if medians:
        panels.log_axis(axes)
        # The last annealed steps would squeeze all others together.
        typical = min(float(np.quantile(median, 0.1)) for median in medians)
        if min(median.min() for median in medians) < typical / 10:
            axes.set_ylim(bottom=typical / 10)
    panels.step_axis(axes, "step")
    axes.set_ylabel("step size")


def _log_steps(run: RunRecord) -> np.ndarray:
    taken = taken_steps(run)
    logarithms = np.full(len(taken), np.nan)
    np.log10(taken, out=logarithms, where=taken > 0)
    return logarithms


def taken_steps(run: RunRecord) -> np.ndarray:
    """`step_size · factor`, the step that was taken; the factor is 1 where there is none."""
    factor = run.steps["factor"].to_numpy(dtype=float)
    taken: np.ndarray = run.steps["step_size"].to_numpy(dtype=float) * np.where(
        np.isnan(factor), 1.0, factor
    )
    return taken


# ------------------------------------------------------------------------------------ trials


def _draw_trials(axes: Axes, lines: Lines, styles: Styles) -> None:
    highs = []
    for label, runs in lines.items():
        drawn = band([smooth_curve(run.steps["step"], run.steps["trials"]) for run in runs])
        panels.draw_band(axes, drawn, styles[label])
        highs.append(drawn.high[np.isfinite(drawn.high)])
    panels.step_axis(axes, "step")
    axes.set_ylabel("trials per step")
    axes.set_ylim(bottom=0)
    # Cut the panel at twice what most steps need, if the highest is far above it.
    usual = max((float(np.quantile(high, 0.95)) for high in highs if len(high) > 0), default=0.0)
    highest = max((float(high.max()) for high in highs if len(high) > 0), default=0.0)
    if highest > 4 * usual > 0:
        axes.set_ylim(top=2 * usual)
        axes.text(
            0.03, 0.97, f"up to {highest:.0f}", transform=axes.transAxes, va="top", fontsize=9
        )
