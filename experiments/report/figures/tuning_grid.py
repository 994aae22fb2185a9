"""What the baselines' rates do to the number that decides, and what has no rate across it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from matplotlib.transforms import blended_transform_factory

from experiments.report.figures import panels
from experiments.report.figures.lines import styles_of
from experiments.report.figures.palette import LineStyle
from experiments.report.figures.run_figure import spans_decades
from experiments.report.read.records import Results
from experiments.report.titles import score_title
from experiments.report.write.document import Picture


def tuning_pictures(results: Results, sensitivity: pd.DataFrame) -> tuple[Picture, ...]:
    """One picture, or none where nothing was tuned.

    `sensitivity` has a line a rate: `row`, `label`, `lr` (NaN for what has none to tune), `number`
    (what decides; NaN: none), `number_name`, `lower_is_better`, `hold_out` (0: the validation
    split), `winner` and `diverged`.
    """
    tuned = sensitivity[sensitivity["lr"].notna()]
    if tuned.empty:
        return ()
    rows = list(dict.fromkeys(tuned["row"]))
    shown = sensitivity[sensitivity["row"].isin(rows)]
    labels = list(dict.fromkeys(shown["label"]))
    styles = styles_of(results)

    def draw(axes: Axes, row: str) -> None:
        _draw_panel(axes, shown[shown["row"] == row], styles)

    picture = Picture(
        key="tuning",
        title="Sensitivity to the learning rate",
        caption=_caption(shown),
        alternative=panels.described(
            "What decides between rates, against the peak learning rate", rows, labels
        ),
        png=panels.multiples(rows, labels, styles, draw),
    )
    return (picture,)


def _draw_panel(axes: Axes, part: pd.DataFrame, styles: dict[str, LineStyle]) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.05, y=0.09)
    for label, lines in part.groupby("label", sort=False):
        look = styles[str(label)]
        rates = lines[lines["lr"].notna()].sort_values("lr")
        for number in lines.loc[lines["lr"].isna(), "number"].dropna():
            axes.axhline(
                number,
                color=look.colour,
                linestyle=look.dashes,
                linewidth=look.width,
                zorder=look.order,
            )
        if not rates.empty:
            _draw_rates(axes, rates, look)
    if spans_decades(part["number"].to_numpy(dtype=float)):
        panels.log_axis(axes)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("peak learning rate")
    name = score_title(str(part["number_name"].iloc[0]))
    axes.set_ylabel(f"{name}, held out" if part["hold_out"].iloc[0] else name)


def _draw_rates(axes: Axes, rates: pd.DataFrame, look: LineStyle) -> None:
    lr, number = rates["lr"].to_numpy(dtype=float), rates["number"].to_numpy(dtype=float)
    axes.plot(
        lr,
        number,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=look.width,
        marker=look.marker,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=look.order,
    )
    best = rates["winner"].to_numpy(dtype=bool)
    axes.plot(
        lr[best],
        number[best],
        "*",
        color=look.colour,
        markersize=15,
        markeredgecolor="white",
        markeredgewidth=1.0,
        zorder=look.order + 2,
    )
    lost = lr[~np.isfinite(number) & rates["diverged"].to_numpy(dtype=bool)]
    foot = blended_transform_factory(axes.transData, axes.transAxes)
    axes.plot(
        lost,
        np.full(len(lost), 0.04),
        "x",
        color=look.colour,
        markersize=7,
        markeredgewidth=1.8,
        transform=foot,
        zorder=look.order,
    )


def _caption(shown: pd.DataFrame) -> str:
    sentences = [
        f"A point is a run, or the mean of several, at that peak rate, {_judged(shown)}; a star is "
        "the rate taken for the comparison.",
    ]
    if shown["lr"].isna().any():
        sentences.append(
            "A horizontal line is an optimizer trained the same way that has no rate to tune."
        )
    if (shown["lr"].notna() & shown["number"].isna() & shown["diverged"]).any():
        sentences.append("A cross at the foot is a rate that diverged.")
    directions = shown.groupby("row", sort=False)["lower_is_better"].first()
    if directions.all():
        sentences.append("Lower is better.")
    elif not directions.any():
        sentences.append("Higher is better.")
    else:
        sentences.append("Losses are better lower, all other scores higher.")
    return " ".join(sentences)


def _judged(shown: pd.DataFrame) -> str:
    """On which examples the points were measured."""
    held_out = shown["hold_out"] > 0
    if held_out.all():
        return "trained without the held-out examples and measured on them"
    if held_out.any():
        return "measured on held-out training examples where the axis says so, else on validation"
    return "measured on the validation split itself, which favours what is tuned"
