"""The runs of the comparison while they train: loss, validation score, step sizes and trials."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.report.figures import panels
from experiments.report.figures.curves import Band, band, band_of_columns, held_to, smooth_curve
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import RunRecord
from experiments.report.titles import score_title
from experiments.report.write.document import Figure

Lines = dict[str, list[RunRecord]]
"""The lines of a panel: label → the runs of its seeds."""


def _lines_by_row(
    comparison: Comparison, keep: Callable[[RunRecord], bool] = lambda run: True
) -> dict[str, Lines]:
    """The runs that took a step and that `keep` wants, in the order of the tables."""
    panels: dict[str, Lines] = {}
    for row in comparison.rows:
        for label in comparison.labels:
            runs = comparison.cell(row, label)["run"]
            if kept := [run for run in runs if len(run.steps) and keep(run)]:
                panels.setdefault(row, {})[label] = kept
    return panels


def _runs(panels: dict[str, Lines]) -> list[list[RunRecord]]:
    return [runs for lines in panels.values() for runs in lines.values()]


def _seeds_explained(panels: dict[str, Lines]) -> str:
    """The sentence of a caption that explains line and band."""
    if all(len(runs) == 1 for runs in _runs(panels)):
        return "One seed per line."
    return "Lines are medians over the seeds, bands reach from the lowest to the highest seed."


# ----------------------------------------------------------------------------- training loss


def training_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """Training loss against steps and against seconds; none without runs."""
    lines = _lines_by_row(comparison)
    seeds = _seeds_explained(lines)
    what = f"The loss of the training batches, smoothed over a fiftieth of the run. {seeds}"
    time = " Evaluation and logging are not counted as time."
    if "bands" in seeds:
        time += " A finished seed keeps its last value until the slowest is done."
    cross = " A cross marks where a run diverged."
    if not any(run.status == "diverged" for runs in _runs(lines) for run in runs):
        cross = ""
    return (
        *panels.panel_figures(
            comparison,
            lines,
            partial(_draw_losses, column="step", axis="step"),
            key="training-steps",
            title="Training loss against steps",
            caption=f"{what}{cross}",
            shows="Training loss against step",
        ),
        *panels.panel_figures(
            comparison,
            lines,
            partial(_draw_losses, column="seconds", axis="seconds of training"),
            key="training-seconds",
            title="Training loss against time",
            caption=f"{what}{time}{cross}",
            shows="Training loss against seconds of training",
        ),
    )


def _draw_losses(axes: Axes, lines: Lines, styles: panels.Styles, column: str, axis: str) -> None:
    bands = []
    for label, runs in lines.items():
        curves = []
        for run in runs:
            loss = run.steps["loss"].to_numpy(dtype=float)
            # A larger loss is as good as infinite, and its powers would overflow.
            finite = np.where(loss < 1e30, loss, np.nan)
            curves.append(smooth_curve(run.steps[column].to_numpy(), finite))
            if run.status == "diverged":
                end = curves[-1].x[-1:], curves[-1].y[-1:]
                panels.draw_marks(axes, *end, "x", styles[label], size=8, edge=2.2, above=1)
        if column == "seconds":
            # Else the median would jump each time that a fast seed leaves it.
            last = max((curve.x[-1] for curve in curves if len(curve.x) > 0), default=0.0)
            for i, run in enumerate(runs):
                if run.status == "finished":
                    curves[i] = held_to(curves[i], last)
        bands.append(band(curves))
        panels.draw_band(axes, bands[-1], styles[label])
    panels.log_axis_if_decades(axes, bands)
    # Keep a loss that explodes from squeezing all others together.
    starts = [one.middle[0] for one in bands if len(one.x) > 0]
    if starts and axes.get_ylim()[1] > 100 * np.median(starts) > 0:
        axes.set_ylim(top=100 * np.median(starts))
    panels.step_axis(axes, axis)
    axes.set_ylabel("training loss")


# ------------------------------------------------------------------------- validation score


def validation_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """The score on the validation split against epochs; none where no run was evaluated."""
    lines = _lines_by_row(
        comparison, lambda run: run.score in run.evaluations and len(run.evaluations) > 0
    )
    seeds = _seeds_explained(lines)
    return panels.panel_figures(
        comparison,
        lines,
        _draw_scores,
        key="validation",
        title="Validation against epochs",
        caption=f"The score on the validation split at each evaluation. {seeds}",
        shows="The validation score against epochs",
    )


def _draw_scores(axes: Axes, lines: Lines, styles: panels.Styles) -> None:
    bands = []
    for label, runs in lines.items():
        style = styles[label]
        # Over the seeds at each epoch at which some run has an evaluation.
        scores = [run.evaluations.groupby("epoch")[run.score].last() for run in runs]
        table = pd.concat(scores, axis=1).sort_index()
        drawn = band_of_columns(table.index.to_numpy(), table.to_numpy(dtype=float).T)
        bands.append(drawn)
        panels.draw_band(axes, drawn, style)
        panels.draw_marks(
            axes, drawn.x, drawn.middle, style.marker, style, size=4.5, edge=0.6, above=0.05
        )
    panels.log_axis_if_decades(axes, bands)
    # Ticks belong on whole epochs where runs took more than one.
    several = np.concatenate([one.x for one in bands]).max() > 1.0
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=bool(several)))
    axes.margins(x=0.04)
    axes.set_xlabel("epoch")
    axes.set_ylabel(score_title(next(iter(lines.values()))[0].score))


# ---------------------------------------------------------------------- step sizes and trials


def step_size_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """Step sizes and, if a line search is among the runs, trials; none without runs."""
    lines = _lines_by_row(comparison)
    searches = _lines_by_row(comparison, lambda run: bool(run.steps["trials"].notna().any()))
    return (
        *panels.panel_figures(
            comparison,
            lines,
            _draw_step_sizes,
            key="step-size",
            title="Step size against steps",
            caption="The step size times the annealing factor, as a geometric mean over a "
            f"fiftieth of the run. {_seeds_explained(lines)}",
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
            f"high they go. {_seeds_explained(searches)}",
            shows="Trials per step",
        ),
    )


def taken_steps(run: RunRecord) -> np.ndarray:
    """`step_size · factor`, the step that was taken; the factor is 1 where there is none."""
    steps = run.steps.astype(float)
    taken: np.ndarray = (steps["step_size"] * steps["factor"].fillna(1.0)).to_numpy()
    return taken


def _draw_step_sizes(axes: Axes, lines: Lines, styles: panels.Styles) -> None:
    medians = []
    for label, runs in lines.items():
        curves = []
        for run in runs:
            taken = taken_steps(run)
            logarithms = np.full(len(taken), np.nan)
            np.log10(taken, out=logarithms, where=taken > 0)
            curves.append(smooth_curve(run.steps["step"], logarithms))
        x, *parts = band(curves)
        drawn = Band(x, *(10.0**part for part in parts))
        panels.draw_band(axes, drawn, styles[label])
        median = drawn.middle[np.isfinite(drawn.middle)]
        medians += [median] if len(median) else []
    if medians:
        panels.log_axis(axes)
        # The last annealed steps would squeeze all others together.
        typical = min(float(np.quantile(median, 0.1)) for median in medians)
        if min(median.min() for median in medians) < typical / 10:
            axes.set_ylim(bottom=typical / 10)
    panels.step_axis(axes, "step")
    axes.set_ylabel("step size")


def _draw_trials(axes: Axes, lines: Lines, styles: panels.Styles) -> None:
    usual = highest = 0.0
    for label, runs in lines.items():
        drawn = band([smooth_curve(run.steps["step"], run.steps["trials"]) for run in runs])
        panels.draw_band(axes, drawn, styles[label])
        high = drawn.high[np.isfinite(drawn.high)]
        if len(high) > 0:
            usual, highest = max(usual, np.quantile(high, 0.95)), max(highest, high.max())
    panels.step_axis(axes, "step")
    axes.set_ylabel("trials per step")
    axes.set_ylim(bottom=0)
    # Cut the panel at twice what most steps need, if the highest is far above it.
    if highest > 4 * usual > 0:
        axes.set_ylim(top=2 * usual)
        text = f"up to {highest:.0f}"
        axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=9)
