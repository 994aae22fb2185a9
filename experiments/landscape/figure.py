"""The figure of a landscape: one panel per step."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.landscape.record import Bound, Landscape, Line, Look
from experiments.optimizers.line_styles import BLACK, BLUE, GREEN, GREY, ORANGE

_COLUMNS = 3

# Markers of steps, and lines along directions.
_ACCEPTED_TRIAL: dict[str, Any] = {"marker": "o", "color": GREY, "markersize": 7}
_TAKEN: dict[str, Any] = {"marker": "o", "color": GREEN, "markersize": 8}
_ANNEALED: dict[str, Any] = {**_TAKEN, "markerfacecolor": "white"}
_BEST: dict[str, Any] = {"marker": "*", "color": BLACK, "markersize": 11}
_ALONG_TAKEN: dict[str, Any] = {"color": BLUE, "linestyle": "-"}
_ALONG_SEARCHED: dict[str, Any] = {"color": GREY, "linestyle": "--"}
_UNSMOOTHED: dict[str, Any] = {"color": ORANGE, "linestyle": ":"}


def draw_landscape(landscape: Landscape) -> bytes:
    """The figure as a PNG, one panel per step."""
    columns = min(_COLUMNS, len(landscape.looks))
    rows = math.ceil(len(landscape.looks) / columns)
    size = (max(4.0 * columns, 7.0), 3.2 * rows + 1.2)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    names = (landscape.task, landscape.model, landscape.optimizer, f"seed {landscape.seed}")
    title = " · ".join(names)
    if landscape.largest_difference > 0:
        title += "\nrepeated, but not exactly"
    figure.suptitle(title, fontsize=13)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, look in zip(panels, landscape.looks, strict=False):
        _draw_look(axes, look, landscape.reach)
    for axes in panels[len(landscape.looks) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("loss of the mini-batch")
    for axes in panels[max(0, len(landscape.looks) - columns) : len(landscape.looks)]:
        axes.set_xlabel("multiple of η")
    handles, ncols = _legend(landscape), 4 if columns == _COLUMNS else 2
    figure.legend(
        handles=handles, loc="outside lower center", ncols=ncols, frameon=False, fontsize=9
    )
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw_look(axes: Axes, look: Look, reach: float) -> None:
    axes.set_title(_panel_title(look), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if not look.lines:
        axes.set_xticks([])
        axes.set_yticks([])
        text = f"nothing moved:\n{look.status.replace('_', ' ')}"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
        return
    limits = _limits(look)
    for line in look.lines:
        style = _ALONG_SEARCHED if line.direction == "searched" else _ALONG_TAKEN
        x = np.array(line.t) / look.accepted_step
        axes.plot(x, line.loss, linewidth=1.8, zorder=3, **style)
        _mark_steps(axes, line, look)
    if look.accepts is not None:
        _draw_bounds(axes, look, look.accepts, reach, limits)
    axes.set_xlim(0, reach)
    axes.set_ylim(*limits)
    axes.grid(True, alpha=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="y", useOffset=False)


def _panel_title(look: Look) -> str:
    title = f"step {look.step}"
    if not look.lines:
        return title
    line = look.lines[-1]
    title += f"   η = {look.accepted_step:.3g}"
    if look.annealed:
        title += f", taken {look.step_taken:.2g}"
    if line.ratio is None:
        return f"{title}\nany step raises the loss"
    sign = "≤" if line.best_is_last else "="
    # A rate, or a step along another direction, was not "accepted".
    accepted = look.searched and line.direction == "searched and taken"
    return f"{title}\n{'accepted' if accepted else 'taken'} / best {sign} {line.ratio:.2g}"


def _mark_steps(axes: Axes, line: Line, look: Look) -> None:
    """Mark the step that was accepted, the one taken, and the best one, each on the line."""

    def mark(step: float, **style: Any) -> None:
        loss = line.loss[line.t.index(step)]
        axes.plot(step / look.accepted_step, loss, zorder=5, clip_on=False, **style)

    if line.direction == "searched":
        mark(line.step, **_ACCEPTED_TRIAL)
        return
    mark(line.step, **_TAKEN)
    if line.direction == "searched and taken" and look.annealed:
        mark(look.step_taken, **_ANNEALED)
    if line.best_step is not None:
        mark(line.best_step, **_BEST)


def _draw_bounds(
    axes: Axes, look: Look, accepts: Bound, reach: float, limits: tuple[float, float]
) -> None:
    """The line below which a trial is accepted, shaded; Armijo's own if it differs."""
    low, high = limits
    x = np.linspace(0, reach, 200)
    y = np.array([accepts(step * look.accepted_step) for step in x])
    axes.plot(x, y, color=ORANGE, linewidth=1.4, zorder=2)
    axes.fill_between(x, low, np.clip(y, low, high), color=ORANGE, alpha=0.09, linewidth=0)
    if look.smoothed and look.armijo is not None:
        plain = [look.armijo(step * look.accepted_step) for step in x]
        axes.plot(x, plain, linewidth=1.0, **_UNSMOOTHED)
    limit = accepts(look.accepted_step)
    if low <= limit <= high:
        return
    where, side = (0.96, "above") if limit > high else (0.04, "below")
    axes.text(
        0.98,
        where,
        f"at η accepts up to {limit:.3g},\n{side} this panel",
        ha="right",
        va="top" if side == "above" else "bottom",
        fontsize=8,
        color=ORANGE,
        transform=axes.transAxes,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        zorder=4,
    )


def _limits(look: Look) -> tuple[float, float]:
    """The lowest and highest loss to show.

    The highest is as far above the start as the lowest lies below it, if losses go beyond: a step
    of three times the accepted one can raise the loss so far that all else would look flat.
    """
    losses = [loss for line in look.lines for loss in line.loss if math.isfinite(loss)]
    if not losses:
        return (0.0, 1.0)
    low = min(losses)
    marked = [line.loss[line.t.index(line.step)] for line in look.lines]
    upper = max(loss for loss in (*marked, look.loss, low) if math.isfinite(loss))
    high = max(losses) if upper == low else max(upper, min(max(losses), 2 * upper - low))
    margin = 0.08 * (high - low) or 0.01 * abs(high) or 1.0
    return low - margin, high + margin


def _legend(landscape: Landscape) -> list[Artist]:
    """An entry for everything that is in at least one panel."""
    lines = [(line.direction, look) for look in landscape.looks for line in look.lines]
    two = any(direction == "searched" for direction, _ in lines)
    searched = any(look.searched for _, look in lines)
    annealed = any(name == "searched and taken" and look.annealed for name, look in lines)
    smoothed = any(look.smoothed for _, look in lines)
    accepts = Patch(facecolor=(*to_rgb(ORANGE), 0.12), edgecolor=ORANGE, label="trials accepted")
    taken = "accepted step" if searched and not two else "step taken"
    entries: list[tuple[bool, Artist]] = [
        (True, _entry("along the direction taken" if two else "loss along the step", _ALONG_TAKEN)),
        (two, _entry("along the direction searched", _ALONG_SEARCHED)),
        (two, _entry("accepted trial", _ACCEPTED_TRIAL, linestyle="")),
        (True, _entry(taken, _TAKEN, linestyle="")),
        (annealed, _entry("step taken, annealed", _ANNEALED, linestyle="")),
        (True, _entry("best step", _BEST, linestyle="")),
        (searched, accepts),
        (smoothed, _entry("Armijo without smoothing", _UNSMOOTHED)),
    ]
    return [artist for shown, artist in entries if shown]


def _entry(label: str, style: dict[str, Any], **more: Any) -> Artist:
    return Line2D([], [], label=label, **style, **more)
