"""The frame of every picture: one panel a row of results, one legend for all, PNG bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.report.figures.bands import Band
from experiments.report.figures.palette import LineStyle
from experiments.report.figures.run_figure import spans_decades
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import MADE_BY

# Inches; the HTML takes an inch for 100 points of the screen, so that text is sharp on fine ones.
WIDTH, PANEL_HEIGHT = 10.4, 2.75
DPI = 160
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8A8A8A",
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.labelsize": 10.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.xmargin": 0.015,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.solid_capstyle": "round",
    "xtick.color": "#555555",
    "xtick.labelsize": 9.0,
    "ytick.color": "#555555",
    "ytick.labelsize": 9.0,
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever is set on this machine."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


_TITLE = 32
"""Letters of a title that fit above one of three panels."""
_HANDLE_INCHES, _LETTER_INCHES = 0.7, 0.085
"""Of an entry of the legend."""


def small_multiples(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel for each row, at most three beside each other."""
    columns = {1: 1, 2: 2, 4: 2}.get(len(titles), 3)
    lines = math.ceil(len(titles) / columns)
    width = 7.4 if columns == 1 else WIDTH
    height = 3.6 if columns == 1 else PANEL_HEIGHT * lines
    figure = Figure(figsize=(width, height + 0.5), dpi=DPI, layout=_layout())
    grid = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    for axes, title in zip(grid, titles, strict=False):
        letters = _TITLE if columns == 3 else 2 * _TITLE
        axes.set_title(textwrap.fill(_plain(row_title(title)), letters))
    return figure, grid[: len(titles)]


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.07, wspace=0.03, hspace=0.04)


def legend(figure: Figure, styles: Mapping[str, LineStyle], labels: Sequence[str]) -> None:
    """The lines of the labels, above all panels."""
    handles = [
        Line2D(
            [],
            [],
            color=styles[label].colour,
            linewidth=styles[label].width + 0.4,
            linestyle=styles[label].dashes,
            label=_plain(label_title(label)),
        )
        for label in labels
    ]
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = int(figure.get_size_inches()[0] / (_HANDLE_INCHES + _LETTER_INCHES * longest))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, min(len(handles), columns)),
        handlelength=2.4,
        columnspacing=1.8,
    )


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics, and no label kept out of legends."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def multiples(
    rows: Sequence[str],
    labels: Sequence[str],
    styles: Mapping[str, LineStyle],
    draw: Callable[[Axes, str], None],
) -> bytes:
    """The PNG of a panel a row, each filled by `draw(axes, row)`, under one legend."""
    with style():
        figure, grid = small_multiples(rows)
        for axes, row in zip(grid, rows, strict=True):
            draw(axes, row)
        legend(figure, styles, labels)
        return png(figure)


def draw_band(axes: Axes, drawn: Band, look: LineStyle) -> None:
    """A line, and the band around it where the runs differ."""
    axes.fill_between(
        drawn.x,
        drawn.low,
        drawn.high,
        color=look.colour,
        alpha=0.16,
        linewidth=0,
        zorder=look.order - 2,
    )
    axes.plot(
        drawn.x,
        drawn.middle,
        color=look.colour,
        linewidth=look.width,
        linestyle=look.dashes,
        zorder=look.order,
    )


def mark_end(axes: Axes, x: float, y: float, look: LineStyle) -> None:
    """The cross at the last point of a run that diverged."""
    axes.plot(
        [x], [y], "x", color=look.colour, markersize=8, markeredgewidth=2.2, zorder=look.order + 1
    )


def log_axis_if_decades(axes: Axes, drawn: Sequence[Band]) -> None:
    """A logarithmic y axis for positive curves that a linear one would flatten."""
    values = [part for one in drawn for part in (one.middle, one.low, one.high)]
    if values and spans_decades(np.concatenate(values)):
        log_axis(axes)


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis; over two decades and more without the ticks between them."""
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    if top >= 100 * bottom:
        axes.yaxis.set_minor_locator(NullLocator())


def step_axis(axes: Axes, name: str) -> None:
    """A few whole numbers along x, with separated thousands."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(name)


def png(figure: Figure) -> bytes:
    """The figure's bytes; they name neither the date nor the version that drew them.

    256 colours are enough for lines on white, and take a third of the space.
    """
    # `savefig` would draw twice, and write a PNG only for it to be read again.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    points = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    drawn = Image.fromarray(points).convert("RGB")
    few = drawn.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    made_by = PngInfo()
    made_by.add_text("Software", MADE_BY)
    few.save(buffer, format="PNG", optimize=True, pnginfo=made_by)
    return buffer.getvalue()


def described(what: str, rows: Sequence[str], labels: Sequence[str]) -> str:
    """The text for those who cannot see the picture."""
    return (
        f"{what}, one panel each for {listed([row_title(row) for row in rows])}, "
        f"with a line each for {listed([label_title(label) for label in labels])}."
    )


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def seeds_explained(*, several: bool) -> str:
    """The sentence of a caption that says what line and band are."""
    if not several:
        return "One seed a line."
    return "Lines are medians over the seeds, bands reach from the lowest to the highest seed."
