"""The loss along the directions of some steps, as data, as JSON and as a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.report.figures.palette import BLACK, BLUE, GREEN, GREY, ORANGE

_COLUMNS = 3


@dataclass(frozen=True)
class Bound:
    """A straight line over the step: `at_zero + per_step·t`."""

    at_zero: float
    per_step: float

    def __call__(self, t: float) -> float:
        return self.at_zero + self.per_step * t


@dataclass(frozen=True)
class Line:
    """The loss `φ(t) = f(w − t·d)` along one direction.

    Attributes:
        direction: "searched", "taken", or "searched and taken" where they are the same.
        step: the step that was accepted, or taken, along it; one of `t`.
        t: steps, rising from 0.
        loss: the mini-batch's loss after each.
    """

    direction: str
    step: float
    t: tuple[float, ...]
    loss: tuple[float, ...]

    @property
    def best(self) -> int | None:
        """The index of the least loss that is finite; None if there is none."""
        finite = [index for index, loss in enumerate(self.loss) if math.isfinite(loss)]
        return min(finite, key=lambda index: self.loss[index]) if finite else None

    @property
    def best_step(self) -> float | None:
        """The step of the least loss on the grid."""
        return None if self.best is None else self.t[self.best]

    @property
    def best_is_last(self) -> bool:
        """Whether the least loss is at the end of the line, so that a longer one may be lower."""
        return self.best == len(self.t) - 1

    @property
    def ratio(self) -> float | None:
        """`step` over the best step; None where no step at all is best."""
        return self.step / self.best_step if self.best_step else None

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            **asdict(self),
            "best_step": self.best_step,
            "best_loss": None if self.best is None else self.loss[self.best],
            "best_is_last": self.best_is_last,
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class Look:
    """One step: what was accepted, what would have been, and the loss around it.

    Attributes:
        step: its number, the first being 1.
        status: a line search's, or "taken".
        loss: the mini-batch's loss before the step.
        accepted_step: the step η that a search accepted, or a given rate; 0 for none.
        step_taken: the same times the annealing factor.
        lines: the direction searched, then the one taken where that is another; none where
            nothing was moved.
        slope: `p = ⟨g, d⟩` of the direction searched.
        accepts: the loss up to which a trial is accepted; None where nothing was searched.
        armijo: `f(w) − c·p·t`, which is the same line where the condition is not smoothed.
    """

    step: int
    status: str
    loss: float
    accepted_step: float
    step_taken: float
    lines: tuple[Line, ...]
    slope: float | None = None
    accepts: Bound | None = None
    armijo: Bound | None = None

    @property
    def searched(self) -> bool:
        """Whether a line search accepted the step by its condition."""
        return self.accepts is not None

    @property
    def smoothed(self) -> bool:
        """Whether what is accepted is another line than Armijo's."""
        if self.accepts is None or self.armijo is None:
            return False
        pairs = zip(astuple(self.accepts), astuple(self.armijo), strict=True)
        return not all(math.isclose(one, other, rel_tol=1e-6) for one, other in pairs)

    @property
    def annealed(self) -> bool:
        """Whether less than the accepted step was taken."""
        return self.step_taken != self.accepted_step

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data; `ratio` and `best_step` are those of the direction taken."""
        taken = self.lines[-1] if self.lines else None
        return {
            **asdict(self),
            "status": str(self.status),
            "best_step": None if taken is None else taken.best_step,
            "ratio": None if taken is None else taken.ratio,
            "lines": [line.as_json() for line in self.lines],
        }


@dataclass(frozen=True)
class Landscape:
    """The chosen steps of a run. `reach` is the end of every line, in steps."""

    run: str
    task: str
    model: str
    optimizer: str
    seed: int
    reach: float
    largest_difference: float
    """Between the losses recorded by the run and those of its repetition; 0 where it is exact."""
    looks: tuple[Look, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        values = asdict(self)
        del values["looks"]
        return {**values, "steps": [look.as_json() for look in self.looks]}


def largest_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """The largest difference of two losses of the same step; infinite if only one is finite."""
    pairs = zip(losses, recorded, strict=False)
    return max((_difference(one, other) for one, other in pairs), default=0.0)


def _difference(one: float, other: float) -> float:
    if math.isfinite(one) and math.isfinite(other):
        return abs(one - other)
    return 0.0 if math.isfinite(one) == math.isfinite(other) else math.inf


def summary_lines(landscape: Landscape) -> list[str]:
    """A line a step for the terminal, and a warning where the repetition was not exact."""
    lines = [_summary_line(look) for look in landscape.looks]
    return [*lines, _inexact(landscape)] if landscape.largest_difference > 0 else lines


def _summary_line(look: Look) -> str:
    start = f"step {look.step}: loss {look.loss:.4g}"
    if not look.lines:
        return f"{start}, nothing was moved ({look.status.replace('_', ' ')})"
    parts = [start]
    for line in look.lines:
        where = "" if len(look.lines) == 1 else f" in the direction {line.direction}"
        parts.append(f"step {line.step:.3g}, best {_best_text(line)}{where}")
    return ", ".join(parts)


def _best_text(line: Line) -> str:
    if line.best_step is None:
        return "unknown (no loss is finite)"
    if line.ratio is None:
        return "0 (any step raises the loss)"
    if line.best_is_last:
        return f"{line.best_step:.3g} or more (ratio at most {line.ratio:.2g})"
    return f"{line.best_step:.3g} (ratio {line.ratio:.2g})"


def _inexact(landscape: Landscape) -> str:
    return (
        "the repetition is not exact: its losses differ from the recorded ones by up to "
        f"{landscape.largest_difference:.2g} (another machine, version or device?)"
    )


# ------------------------------------------------------------------------------------ picture


def draw_landscape(landscape: Landscape) -> bytes:
    """A panel a step, as a PNG."""
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
    handles = _legend(landscape)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if columns == _COLUMNS else 2,
        frameon=False,
        fontsize=9,
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
        text = f"nothing was moved:\n{look.status.replace('_', ' ')}"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
        return
    limits = _limits(look)
    for line in look.lines:
        colour, style = (GREY, "--") if line.direction == "searched" else (BLUE, "-")
        x = np.array(line.t) / look.accepted_step
        axes.plot(x, line.loss, linewidth=1.8, zorder=3, color=colour, linestyle=style)
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
    return f"{title}\n{_step_name(line, look)} / best {sign} {line.ratio:.2g}"


def _step_name(line: Line, look: Look) -> str:
    """Of the step that is marked on a line: a rate, or one that differs, is not "accepted"."""
    return "accepted" if look.searched and line.direction == "searched and taken" else "taken"


def _mark_steps(axes: Axes, line: Line, look: Look) -> None:
    """The step that was accepted, the one taken, and the best one, each on the line."""

    def mark(step: float, shape: str, colour: str, size: float, inside: str | None = None) -> None:
        axes.plot(
            step / look.accepted_step,
            line.loss[line.t.index(step)],
            shape,
            color=colour,
            markerfacecolor=colour if inside is None else inside,
            markersize=size,
            zorder=5,
            clip_on=False,
        )

    if line.direction == "searched":
        mark(line.step, "o", GREY, 7)
        return
    mark(line.step, "o", GREEN, 8)
    if line.direction == "searched and taken" and look.annealed:
        mark(look.step_taken, "o", GREEN, 8, "white")
    if line.best_step is not None:
        mark(line.best_step, "*", BLACK, 11)


def _draw_bounds(
    axes: Axes, look: Look, accepts: Bound, reach: float, limits: tuple[float, float]
) -> None:
    """The line below which a trial is accepted, shaded; Armijo's own where that is another."""
    low, high = limits
    x = np.linspace(0, reach, 200)
    y = np.array([accepts(step * look.accepted_step) for step in x])
    axes.plot(x, y, color=ORANGE, linewidth=1.4, zorder=2)
    axes.fill_between(x, low, np.clip(y, low, high), color=ORANGE, alpha=0.09, linewidth=0)
    if look.smoothed and look.armijo is not None:
        plain = [look.armijo(step * look.accepted_step) for step in x]
        axes.plot(x, plain, color=ORANGE, linewidth=1.0, linestyle=":")
    limit = accepts(look.accepted_step)
    if low <= limit <= high:
        return
    where, side = (0.96, "above") if limit > high else (0.04, "below")
    axes.text(
        0.98,
        where,
        f"at η accepts up to {limit:.3g},\n{side} the picture",
        ha="right",
        va="top" if side == "above" else "bottom",
        fontsize=8,
        color=ORANGE,
        transform=axes.transAxes,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        zorder=4,
    )


def _limits(look: Look) -> tuple[float, float]:
    """From below the lowest loss to as far above the start as that lies below it, or the highest.

    A step of three times the accepted one can raise the loss so far that all else would look flat.
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
    seen = [(line.direction, look) for look in landscape.looks for line in look.lines]
    directions = {direction for direction, _ in seen}
    looks = [look for _, look in seen]
    both = "searched" in directions
    searched = any(look.searched for look in looks)
    entries = [
        (True, _line(BLUE, "-", "along the direction taken" if both else "loss along the step")),
        (both, _line(GREY, "--", "along the direction searched")),
        (both, _marker("o", GREY, 7, "accepted trial")),
        (True, _marker("o", GREEN, 8, "accepted step" if searched and not both else "step taken")),
        (
            any(name == "searched and taken" and look.annealed for name, look in seen),
            _marker("o", GREEN, 8, "step taken, annealed", inside="white"),
        ),
        (True, _marker("*", BLACK, 11, "best step")),
        (
            searched,
            Patch(facecolor=(*to_rgb(ORANGE), 0.12), edgecolor=ORANGE, label="trials accepted"),
        ),
        (any(look.smoothed for look in looks), _line(ORANGE, ":", "Armijo without smoothing")),
    ]
    return [artist for shown, artist in entries if shown]


def _line(colour: str, style: Literal["-", "--", ":"], label: str) -> Artist:
    return Line2D([], [], color=colour, linestyle=style, label=label)


def _marker(shape: str, colour: str, size: float, label: str, inside: str | None = None) -> Artist:
    return Line2D(
        [],
        [],
        color=colour,
        marker=shape,
        markerfacecolor=colour if inside is None else inside,
        linestyle="",
        markersize=size,
        label=label,
    )
