"""The task's score on the validation split against epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.report.figures import panels
from experiments.report.figures.curves import (
    Band,
    Lines,
    band_of_columns,
    lines_by_row,
    seeds_explained,
)
from experiments.report.figures.palette import Styles
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import RunRecord
from experiments.report.titles import score_title
from experiments.report.write.document import Figure


def validation_figures(comparison: Comparison) -> tuple[Figure, ...]:
    """One figure, or none where no run of the comparison was evaluated."""
    lines = lines_by_row(comparison, _was_evaluated)
    return panels.panel_figures(
        comparison,
        lines,
        _draw_panel,
        key="validation",
        title="Validation against epochs",
        caption=f"The score on the validation split at each evaluation. {seeds_explained(lines)}",
        shows="The validation score against epochs",
    )


def _was_evaluated(run: RunRecord) -> bool:
    return run.score in run.evaluations and len(run.evaluations) > 0


def _draw_panel(axes: Axes, lines: Lines, styles: Styles) -> None:
    bands = []
    for label, runs in lines.items():
        style = styles[label]
        bands.append(_band(runs))
        panels.draw_band(axes, bands[-1], style)
        axes.plot(
            bands[-1].x,
            bands[-1].middle,
            style.marker,
            color=style.colour,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=style.order + 0.05,
        )
    panels.log_axis_if_decades(axes, bands)
    # Ticks belong on whole epochs where runs took more than one.
    several = np.concatenate([one.x for one in bands]).max() > 1.0
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=bool(several)))
    axes.margins(x=0.04)
    axes.set_xlabel("epoch")
    axes.set_ylabel(score_title(next(iter(lines.values()))[0].score))


def _band(runs: list[RunRecord]) -> Band:
    """Over the seeds at each epoch at which some run has an evaluation."""
    scores = [run.evaluations.groupby("epoch")[run.score].last() for run in runs]
    table = pd.concat(scores, axis=1).sort_index()
    return band_of_columns(table.index.to_numpy(), table.to_numpy(dtype=float).T)
