"""The frame of every figure: one panel per row, one legend, a line per label, PNG bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle, product
from typing import Any, TypeVar

import matplotlib as mpl
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.optimizers import line_styles as palette
from experiments.optimizers.build import OPTIMIZERS
from experiments.optimizers.line_styles import LineStyle
from experiments.report.figures.curves import Band, spans_decades
from experiments.report.numbers.cells import Comparison
from experiments.report.titles import label_title, row_title
from experiments.report.write.document import MADE_BY, Figure

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
# Letters of a title that fit above one of three panels; inches of the legend's entries and lines.
_TITLE = 32
_HANDLE_INCHES, _LETTER_INCHES, _LEGEND_LINE_INCHES = 0.7, 0.085, 0.22

# Spare lines: their dashes, their colours with a marker.
_DASHES = (palette.SOLID, palette.DASHED, palette.DOTTED)
_COLOURS = ((palette.PURPLE, "X"), (palette.AMBER, "h"), (palette.WINE, ">"), (palette.INDIGO, "p"))

Drawn = TypeVar("Drawn")
Styles = Mapping[str, LineStyle]
"""The line of each label."""


def panel_figures(
    comparison: Comparison,
    panels: Mapping[str, dict[str, Drawn]],
    draw: Callable[[Axes, dict[str, Drawn], Styles], None],
    *,
    key: str,
    title: str,
    caption: str,
    shows: str,
) -> tuple[Figure, ...]:
    """A figure with one panel for each row in `panels`, which has its lines by label.

    None without panels. `draw(axes, lines, styles)` fills a panel; `shows` begins the description
    for those who cannot see it. The same results give the same bytes.
    """
    if not panels:
        return ()
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    styles = styles_of(comparison)
    with mpl.rc_context():  # whatever is set on this machine
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
        rows = math.ceil(len(panels) / columns)
        width, height = (7.4, 3.6) if columns == 1 else (WIDTH, PANEL_HEIGHT * rows)
        legend = _legend(width, styles, labels)
        lines_of_legend = math.ceil(len(labels) / legend["ncols"])
        drawn = matplotlib.figure.Figure(
            figsize=(width, height + 0.5 + _LEGEND_LINE_INCHES * max(0, lines_of_legend - 2)),
            dpi=DPI,
            layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.07, wspace=0.03, hspace=0.04),
        )
        grid = drawn.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, row in zip(grid, panels, strict=False):
            letters = _TITLE if columns == 3 else 2 * _TITLE
            axes.set_title(textwrap.fill(_plain(row_title(row)), letters))
            draw(axes, panels[row], styles)
        drawn.legend(**legend)
        image = png(drawn)
    if [*panels] != [""]:
        shows += f", one panel each for {_listed(map(row_title, panels))}"
    alternative = f"{shows}, with a line each for {_listed(map(label_title, labels))}."
    return (Figure(key, title, caption, alternative, image),)


def styles_of(comparison: Comparison) -> Styles:
    """One line style per label, the same in every figure: also runs of the tuning count."""
    planned, runs = comparison.results.planned, comparison.results.runs
    known = [(cell.label, cell.optimizer) for cell in planned]
    known += [(run.label, run.optimizer) for run in runs]
    in_order = dict.fromkeys((label for label, _ in known), "")
    return line_styles(in_order | dict(reversed(known)))


def line_styles(optimizers: Mapping[str, str]) -> dict[str, LineStyle]:
    """The line of each label, given its optimizer's kind, in the order of the tables.

    An optimizer's file gives lines to its kind and to some labels. Where no label is the kind's
    own name, the first other label of the kind has the kind's line; further ones, and kinds without
    a line, take spare ones, which repeat after twelve.
    """
    free = {name: style for known in OPTIMIZERS for name, style in known.lines.items()}
    spare = cycle(
        LineStyle(colour, 1.6, dashes, marker, 2.4)
        for dashes, (colour, marker) in product(_DASHES, _COLOURS)
    )
    own = {label: free.pop(label) for label in optimizers if label in free}
    return {
        label: own.get(label) or free.pop(kind, None) or next(spare)
        for label, kind in optimizers.items()
    }


def _legend(width: float, styles: Styles, labels: Sequence[str]) -> dict[str, Any]:
    """The arguments of the legend above all panels, with as many columns as fit."""
    handles = []
    for label in labels:
        line = styles[label].line | {"linewidth": styles[label].width + 0.4}
        handles.append(Line2D([], [], label=_plain(label_title(label)), **line))
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = int(width / (_HANDLE_INCHES + _LETTER_INCHES * longest))
    return {
        "handles": handles,
        "loc": "outside upper left",
        "ncols": max(1, min(len(handles), columns)),
        "handlelength": 2.4,
        "columnspacing": 1.8,
    }


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics, and no label kept out of legends."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def png(figure: matplotlib.figure.Figure) -> bytes:
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


# ------------------------------------------------------------------------------- within a panel


def draw_band(axes: Axes, drawn: Band, style: LineStyle) -> None:
    """A line, and the band around it where the runs differ."""
    shade: dict[str, Any] = {"color": style.colour, "alpha": 0.16, "zorder": style.order - 2}
    axes.fill_between(drawn.x, drawn.low, drawn.high, linewidth=0, **shade)
    axes.plot(drawn.x, drawn.middle, **style.line)


def draw_marks(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    marker: str,
    style: LineStyle,
    *,
    size: float,
    edge: float,
    above: float,
    **options: Any,
) -> None:
    """Points in the colour of a line and `above` it; all but crosses have a white edge."""
    axes.plot(
        x,
        y,
        marker,
        color=style.colour,
        markersize=size,
        markeredgecolor=style.colour if marker == "x" else "white",
        markeredgewidth=edge,
        zorder=style.order + above,
        **options,
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
