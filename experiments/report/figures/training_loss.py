"""Training loss against steps, and against seconds of training."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes

from experiments.report.figures import panels
from experiments.report.figures.curves import (
    Curve,
    Lines,
    band,
    held_to,
    lines_by_row,
    seeds_explained,
    smooth_curve,
)
from experiments.report.figures.palette import Styles
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import RunRecord
from experiments.report.write.document import Figure


def training_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """Two figures, or none without runs of the comparison."""
    lines = lines_by_row(comparison)
    return (
        *panels.panel_figures(
            comparison,
            lines,
            partial(_draw_panel, column="step", axis="step"),
            key="training-steps",
            title="Training loss against steps",
            caption=_caption(lines, "step"),
            shows="Training loss against step",
        ),
        *panels.panel_figures(
            comparison,
            lines,
            partial(_draw_panel, column="seconds", axis="seconds of training"),
            key="training-seconds",
            title="Training loss against time",
            caption=_caption(lines, "seconds"),
            shows="Training loss against seconds of training",
        ),
    )


def _draw_panel(axes: Axes, lines: Lines, styles: Styles, column: str, axis: str) -> None:
    bands = []
    for label, runs in lines.items():
        style = styles[label]
        curves = [_curve(run, column) for run in runs]
        bands.append(band(_held(runs, curves) if column == "seconds" else curves))
        panels.draw_band(axes, bands[-1], style)
        for run, curve in zip(runs, curves, strict=True):
            if run.status == "diverged" and len(curve.x) > 0:
                axes.plot(
                    [curve.x[-1]],
                    [curve.y[-1]],
                    "x",
                    color=style.colour,
                    markersize=8,
                    markeredgewidth=2.2,
                    zorder=style.order + 1,
                )
    panels.log_axis_if_decades(axes, bands)
    # Keep a loss that explodes from squeezing all others together.
    starts = [one.middle[0] for one in bands if len(one.x) > 0]
    if starts and axes.get_ylim()[1] > 100 * np.median(starts) > 0:
        axes.set_ylim(top=100 * np.median(starts))
    panels.step_axis(axes, axis)
    axes.set_ylabel("training loss")


def _curve(run: RunRecord, column: str) -> Curve:
    loss = run.steps["loss"].to_numpy(dtype=float)
    # A larger loss is as good as infinite, and its powers would overflow.
    return smooth_curve(run.steps[column].to_numpy(), np.where(loss < 1e30, loss, np.nan))


def _held(runs: list[RunRecord], curves: list[Curve]) -> list[Curve]:
    """The curves, those of finished runs held until the slowest seed is done.

    Otherwise the median would jump each time that a fast seed leaves it.
    """
    last = max((curve.x[-1] for curve in curves if len(curve.x) > 0), default=0.0)
    return [
        held_to(curve, last) if run.status == "finished" else curve
        for run, curve in zip(runs, curves, strict=True)
    ]


def _caption(lines: dict[str, Lines], column: str) -> str:
    runs = [
        run for by_label in lines.values() for of_label in by_label.values() for run in of_label
    ]
    seeds = seeds_explained(lines)
    sentences = ["The loss of the training batches, smoothed over a fiftieth of the run.", seeds]
    if column == "seconds":
        sentences.append("Evaluation and logging are not counted as time.")
        if "bands" in seeds:
            sentences.append("A finished seed keeps its last value until the slowest is done.")
    if any(run.status == "diverged" for run in runs):
        sentences.append("A cross marks where a run diverged.")
    return " ".join(sentences)
