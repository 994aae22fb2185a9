"""Performance profiles: on which share of the tasks an optimizer is nearly the fastest."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from experiments.report.figures import panels
from experiments.report.figures.lines import styles_of
from experiments.report.read.records import Results
from experiments.report.titles import label_title
from experiments.report.write.document import Picture


def profile_pictures(results: Results, profiles: pd.DataFrame) -> tuple[Picture, ...]:
    """One picture, or none without profiles.

    `profiles` has `label`, `tau` (1 or more) and `share`: of the rows of results, the share on
    which the label is within τ times the best. The share is a staircase, constant to the right.
    """
    known = profiles.dropna(subset=["tau", "share"])
    known = known[known["tau"] < float("inf")]
    if known.empty:
        return ()
    labels = list(dict.fromkeys(known["label"]))
    styles = styles_of(results)
    last = 1.06 * float(known["tau"].max())
    with panels.style():
        figure, (axes,) = panels.small_multiples([""])
        for label, steps in known.groupby("label", sort=False):
            ordered, look = steps.sort_values(["tau", "share"]), styles[str(label)]
            tau, share = [*ordered["tau"], last], [*ordered["share"], ordered["share"].iloc[-1]]
            axes.step(
                tau,
                share,
                where="post",
                color=look.colour,
                linewidth=look.width,
                linestyle=look.dashes,
                zorder=look.order,
            )
        _draw_axes(axes, last)
        panels.legend(figure, styles, labels)
        image = panels.png(figure)
    names = panels.listed([label_title(label) for label in labels])
    picture = Picture(
        key="profiles",
        title="Performance profiles",
        caption=(
            "The share of the tasks on which an optimizer needs at most τ times the seconds of "
            "training that the fastest needs to Adam's final validation score, medians over seeds; "
            "tasks on which none gets there are left out. Where a line starts is how often it is "
            "the fastest, how high it ends is how often it arrives at all; further up and to the "
            "left is better."
        ),
        alternative=f"Staircases of the share of tasks against τ for {names}.",
        png=image,
    )
    return (picture,)


def _draw_axes(axes: Axes, last: float) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.99, last)
    axes.set_ylim(-0.02, 1.03)
    axes.xaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.25, 1.5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tau, _: f"{tau:.3g}×"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("τ, times the fastest")
    axes.set_ylabel("share of the tasks")
