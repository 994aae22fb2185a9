"""The number that decides between rates against the rate, for baselines and references."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from experiments.optimizers.line_styles import LineStyle
from experiments.report.figures import panels
from experiments.report.figures.curves import spans_decades
from experiments.report.numbers.cells import Comparison
from experiments.report.titles import score_title
from experiments.report.write.document import Figure


def tuning_figures(comparison: Comparison, points: pd.DataFrame) -> tuple[Figure, ...]:
    """One figure of the `tuning_points`, or none where nothing was tuned."""
    tuned = points.loc[points["lr"].notna(), "row"].unique()
    shown = points[points["row"].isin(tuned)]
    return panels.panel_figures(
        comparison,
        {row: dict(iter(shown[shown["row"] == row].groupby("label", sort=False))) for row in tuned},
        _draw_panel,
        key="tuning",
        title="Sensitivity to the learning rate",
        caption=_caption(shown),
        shows="The number that decides between rates, against the peak learning rate",
    )


def _draw_panel(axes: Axes, lines: dict[str, pd.DataFrame], styles: panels.Styles) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.05, y=0.09)
    for label, points in lines.items():
        for number in points.loc[points["lr"].isna(), "number"].dropna():
            axes.axhline(number, **styles[label].line)
        _draw_rates(axes, points[points["lr"].notna()].sort_values("lr"), styles[label])
    points = pd.concat(lines.values())
    if spans_decades(points["number"].to_numpy(dtype=float)):
        panels.log_axis(axes)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("peak learning rate")
    name = score_title(str(points["number_name"].iloc[0]))
    axes.set_ylabel(f"{name}, held out" if points["hold_out"].iloc[0] else name)


def _draw_rates(axes: Axes, rates: pd.DataFrame, style: LineStyle) -> None:
    if rates.empty:
        return
    line = style.line | {"marker": style.marker, "markersize": 5.5}
    line |= {"markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot("lr", "number", data=rates, **line)
    best = rates[rates["winner"].astype(bool)]
    panels.draw_marks(axes, best["lr"], best["number"], "*", style, size=15, edge=1.0, above=2)
    lost = rates.loc[rates["number"].isna() & rates["diverged"], "lr"]
    foot, at_foot = axes.get_xaxis_transform(), [0.04] * len(lost)
    panels.draw_marks(axes, lost, at_foot, "x", style, size=7, edge=1.8, above=0, transform=foot)


def _caption(shown: pd.DataFrame) -> str:
    held_out = shown["hold_out"] > 0
    judged = "measured on the validation split itself, which favours what is tuned"
    if held_out.all():
        judged = "trained without the held-out examples and measured on them"
    elif held_out.any():
        judged = "measured on held-out training examples where the axis says so, else on validation"
    sentences = [
        f"A point is a run, or the mean of several, at that peak rate, {judged}; a star is the "
        "rate taken for the comparison."
    ]
    if shown["lr"].isna().any():
        sentences.append(
            "A horizontal line is an optimizer trained the same way that has no rate to tune."
        )
    if (shown["lr"].notna() & shown["number"].isna() & shown["diverged"]).any():
        sentences.append("A cross at the foot is a rate that diverged.")
    directions = shown.groupby("row", sort=False)["lower_is_better"].first()
    better = "Lower is better." if directions.all() else "Higher is better."
    if directions.any() and not directions.all():
        better = "Losses are better lower, all other scores higher."
    return " ".join([*sentences, better])
