"""The share of runs that have reached their row's target, against what they have spent."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from experiments.report.figures import panels
from experiments.report.numbers.cells import Comparison
from experiments.report.write.document import Figure


def target_figures(comparison: Comparison, progress: pd.DataFrame) -> tuple[Figure, ...]:
    """One figure, or none without targets; `progress` is that of `numbers.targets`."""
    units = {
        str(unit): {str(label): own for label, own in lines.groupby("label", sort=False)}
        for unit, lines in progress.groupby("unit", sort=False)
    }
    return panels.panel_figures(
        comparison,
        units,
        _draw_panel,
        key="targets",
        title="Runs that have reached their target",
        caption="All runs of the rows in the table below, each with the target of its row. Left: "
        "after a share of the row's steps. Right: after as many forward passes, so that the trials "
        "of line searches count. How high a line ends is how many runs arrive at all; further up "
        "and to the left is better. The runs of a tuning grid are not counted here.",
        shows="Staircases of the share of runs against what they have spent",
    )


def _draw_panel(axes: Axes, lines: dict[str, pd.DataFrame], styles: panels.Styles) -> None:
    last = max(1.0, *(float(steps["spent"].max()) for steps in lines.values()))
    for label, steps in lines.items():
        spent, share = [*steps["spent"], last], [*steps["share"], steps["share"].iloc[-1]]
        axes.step(spent, share, where="post", **styles[label].line)
    axes.set_ylim(-0.02, 1.03)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("of the row's number of steps")
    axes.set_ylabel("share of the runs")
