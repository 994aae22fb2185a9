"""Training loss against steps, and against seconds of training."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from experiments.report.figures import panels
from experiments.report.figures.bands import Band, Curve, band, held_to, smooth_curve
from experiments.report.figures.lines import (
    Cells,
    any_diverged,
    comparison_cells,
    labels_of,
    several_seeds,
    styles_of,
)
from experiments.report.figures.palette import LineStyle
from experiments.report.read.records import Results, RunRecord
from experiments.report.write.document import Picture


def training_pictures(results: Results) -> tuple[Picture, ...]:
    """Two pictures, or none without runs of the comparison."""
    cells = comparison_cells(results)
    if not cells:
        return ()
    styles = styles_of(results)
    return (
        _picture(cells, styles, "step", "training-steps", "Training loss against steps"),
        _picture(cells, styles, "seconds", "training-seconds", "Training loss against time"),
    )


def _picture(
    cells: Cells, styles: dict[str, LineStyle], column: str, key: str, title: str
) -> Picture:
    axis = "seconds of training" if column == "seconds" else "step"

    def draw(axes: Axes, row: str) -> None:
        _draw_panel(axes, cells[row], styles, column)
        panels.step_axis(axes, axis)
        axes.set_ylabel("training loss")

    return Picture(
        key=key,
        title=title,
        caption=_caption(cells, column),
        alternative=panels.described(f"Training loss against {axis}", [*cells], labels_of(cells)),
        png=panels.multiples([*cells], labels_of(cells), styles, draw),
    )


def _draw_panel(
    axes: Axes,
    by_label: dict[str, list[RunRecord]],
    styles: dict[str, LineStyle],
    column: str,
) -> None:
    drawn = []
    for label, runs in by_label.items():
        curves = [_curve(run, column) for run in runs]
        drawn.append(band(_held(runs, curves) if column == "seconds" else curves))
        panels.draw_band(axes, drawn[-1], styles[label])
        for run, curve in zip(runs, curves, strict=True):
            if run.status == "diverged" and len(curve.x) > 0:
                panels.mark_end(axes, curve.x[-1], curve.y[-1], styles[label])
    panels.log_axis_if_decades(axes, drawn)
    _cut_explosions(axes, drawn)


def _cut_explosions(axes: Axes, drawn: list[Band]) -> None:
    """Keep a loss that explodes from squeezing all others together."""
    starts = [one.middle[0] for one in drawn if len(one.x) > 0]
    if starts and axes.get_ylim()[1] > 100 * np.median(starts) > 0:
        axes.set_ylim(top=100 * np.median(starts))


def _held(runs: list[RunRecord], curves: list[Curve]) -> list[Curve]:
    """The curves, those of finished runs held until the slowest seed is done.

    Otherwise the median would jump each time that a fast seed leaves it.
    """
    last = max((curve.x[-1] for curve in curves if len(curve.x) > 0), default=0.0)
    return [
        held_to(curve, last) if run.status == "finished" else curve
        for run, curve in zip(runs, curves, strict=True)
    ]


def _curve(run: RunRecord, column: str) -> Curve:
    loss = run.steps["loss"].to_numpy(dtype=float)
    # What is larger is as good as infinite, and its powers would overflow.
    return smooth_curve(run.steps[column].to_numpy(), np.where(loss < 1e30, loss, np.nan))


def _caption(cells: Cells, column: str) -> str:
    sentences = [
        "The loss of the training batches, smoothed over a fiftieth of the run.",
        panels.seeds_explained(several=several_seeds(cells)),
    ]
    if column == "seconds":
        sentences.append("Evaluation and logging are not counted as time.")
        if several_seeds(cells):
            sentences.append("A finished seed keeps its last value until the slowest is done.")
    if any_diverged(cells):
        sentences.append("A cross marks where a run diverged.")
    return " ".join(sentences)
