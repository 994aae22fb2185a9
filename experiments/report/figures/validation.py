"""The task's score on the validation split against epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.report.figures import panels
from experiments.report.figures.bands import Band, band_of_columns
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
from experiments.report.titles import score_title
from experiments.report.write.document import Picture


def validation_pictures(results: Results) -> tuple[Picture, ...]:
    """One picture, or none where no run of the comparison was evaluated."""
    cells = _evaluated(comparison_cells(results))
    if not cells:
        return ()
    styles = styles_of(results)

    def draw(axes: Axes, row: str) -> None:
        _draw_panel(axes, cells[row], styles)

    caption = "The score on the validation split at each evaluation. "
    picture = Picture(
        key="validation",
        title="Validation against epochs",
        caption=caption + panels.seeds_explained(several=several_seeds(cells)),
        alternative=panels.described(
            "The validation score against epochs", [*cells], labels_of(cells)
        ),
        png=panels.multiples([*cells], labels_of(cells), styles, draw),
    )
    return (picture,)


def _evaluated(cells: Cells) -> Cells:
    """The cells without the runs that were never evaluated."""
    kept = {
        row: {
            label: [run for run in runs if run.score in run.evaluations and len(run.evaluations)]
            for label, runs in by_label.items()
        }
        for row, by_label in cells.items()
    }
    return without_empty(kept)


def _draw_panel(
    axes: Axes, by_label: dict[str, list[RunRecord]], styles: dict[str, LineStyle]
) -> None:
    drawn = []
    for label, runs in by_label.items():
        look = styles[label]
        drawn.append(_band(runs))
        panels.draw_band(axes, drawn[-1], look)
        axes.plot(
            drawn[-1].x,
            drawn[-1].middle,
            look.marker,
            color=look.colour,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=look.order + 0.05,
        )
    panels.log_axis_if_decades(axes, drawn)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=_whole(drawn)))
    axes.margins(x=0.04)
    axes.set_xlabel("epoch")
    first = next(iter(by_label.values()))[0]
    axes.set_ylabel(score_title(first.score))


def _band(runs: list[RunRecord]) -> Band:
    """Over the seeds at each epoch of which some run has an evaluation."""
    columns = [
        pd.Series(
            run.evaluations[run.score].to_numpy(dtype=float),
            index=run.evaluations["epoch"].to_numpy(dtype=float),
        )
        .groupby(level=0)
        .last()
        for run in runs
    ]
    table = pd.concat(columns, axis=1).sort_index()
    return band_of_columns(table.index.to_numpy(), table.to_numpy().T)


def _whole(drawn: list[Band]) -> bool:
    """True if the runs took more than an epoch, so that ticks belong on whole ones."""
    return bool(np.concatenate([one.x for one in drawn]).max() > 1.0)
