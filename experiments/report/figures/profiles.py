"""Performance profiles: on which share of the tasks an optimizer is nearly the fastest."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from experiments.report.figures import panels
from experiments.report.numbers.cells import Comparison
from experiments.report.titles import label_title
from experiments.report.write.document import Figure


def profile_figures(comparison: Comparison, profiles: pd.DataFrame) -> tuple[Figure, ...]:
    """One figure, or none without profiles.

    `profiles` has `label`, `tau` (1 or more), `share` and `rows`: of so many rows of the comparison
    the share in which the label is within τ times the best. The share is a staircase, constant to
    the right.
    """
    known = profiles.dropna(subset=["tau", "share"])
    known = known[known["tau"] < float("inf")]
    lines = {str(label): steps for label, steps in known.groupby("label", sort=False)}
    rows = known.groupby("label", sort=False)["rows"].max()
    fewer = [f"{label_title(str(x))} {n}" for x, n in rows.items() if n < rows.max()]
    some = f" Of {rows.max()} tasks only some are tried with: {', '.join(fewer)}." if fewer else ""
    return panels.panel_figures(
        comparison,
        {"": lines} if lines else {},
        _draw_panel,
        key="profiles",
        title="Performance profiles",
        caption="The share of the tasks on which an optimizer needs at most τ times the seconds of "
        "training that the fastest needs to Adam's final validation score, medians over seeds; "
        "tasks on which none gets there are left out. Where a line starts is how often it is the "
        "fastest, how high it ends is how often it arrives at all; further up and to the left is "
        f"better.{some}",
        shows="Staircases of the share of tasks against τ",
    )


def _draw_panel(axes: Axes, lines: dict[str, pd.DataFrame], styles: panels.Styles) -> None:
    last = 1.06 * max(float(steps["tau"].max()) for steps in lines.values())
    for label, steps in lines.items():
        ordered = steps.sort_values(["tau", "share"])
        tau, share = [*ordered["tau"], last], [*ordered["share"], ordered["share"].iloc[-1]]
        axes.step(tau, share, where="post", **styles[label].line)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.99, last)
    axes.set_ylim(-0.02, 1.03)
    axes.xaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.25, 1.5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tau, _: f"{tau:.3g}×"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("τ, times the fastest")
    axes.set_ylabel("share of the tasks")
