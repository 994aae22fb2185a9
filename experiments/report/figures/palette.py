"""The colours of all figures, and the line of each label, the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

# From the palette of Okabe and Ito, which colour-blind readers can tell apart; the last
# three, for labels beyond it, are from Paul Tol's.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, PURPLE, AMBER = "#56B4E9", "#CC79A7", "#E69F00"
WINE, INDIGO, MAGENTA = "#882255", "#332288", "#EE3377"
BLACK, GREY, LIGHT_GREY = "#222222", "#6E6E6E", "#9A9A9A"

Dashes = Literal["-"] | tuple[float, tuple[float, ...]]
SOLID: Dashes = "-"
DASHED: Dashes = (0.0, (4.5, 1.6))
DOTTED: Dashes = (0.0, (1.2, 1.2))
DASH_DOTTED: Dashes = (0.0, (4.5, 1.4, 1.2, 1.4))


@dataclass(frozen=True)
class LineStyle:
    """The line of a label. `order` is the z-order: what is higher lies above."""

    colour: str
    width: float
    dashes: Dashes
    marker: str
    order: float

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of `Axes.plot`, without the marker."""
        return {
            "color": self.colour,
            "linewidth": self.width,
            "linestyle": self.dashes,
            "zorder": self.order,
        }


Styles = Mapping[str, LineStyle]
"""The line of each label."""

# The baselines are black and grey, the line searches coloured, and the subject of it all in front.
# Peers, dash-dotted, lie behind.
_BY_OPTIMIZER = {
    "adam": LineStyle(BLACK, 1.7, SOLID, "o", 3.0),
    "adamw": LineStyle(GREY, 1.6, DOTTED, "P", 2.6),
    "sgd": LineStyle(LIGHT_GREY, 1.6, DASHED, "v", 2.5),
    "nadamw": LineStyle(GREY, 1.6, DASH_DOTTED, "d", 2.3),
    "prodigy": LineStyle(PURPLE, 1.6, DASH_DOTTED, "X", 2.3),
    "schedulefree_adamw": LineStyle(INDIGO, 1.6, DASH_DOTTED, "p", 2.3),
    "dadapt_adam": LineStyle(WINE, 1.6, DASH_DOTTED, ">", 2.3),
    "momo_adam": LineStyle(AMBER, 1.6, DASH_DOTTED, "h", 2.3),
    "peak_sls": LineStyle(MAGENTA, 2.2, SOLID, "*", 3.9),
    "alsals": LineStyle(ORANGE, 2.5, SOLID, "D", 4.0),
    "adam_sls": LineStyle(BLUE, 1.6, SOLID, "s", 2.9),
    "salsa": LineStyle(GREEN, 1.6, SOLID, "^", 2.8),
    "sls": LineStyle(SKY, 1.6, SOLID, "<", 2.7),
}
# A second label of a kind that has a line of its own.
_BY_LABEL = {"peak_sls_averaged": LineStyle(MAGENTA, 1.6, DASHED, "*", 3.8)}
_SPARE_COLOURS = (PURPLE, AMBER, WINE, INDIGO)
_SPARE_DASHES = (SOLID, DASHED, DOTTED)
_SPARE_MARKERS = ("X", "h", ">", "p")


def line_styles(optimizers: Mapping[str, str]) -> dict[str, LineStyle]:
    """The line of each label, given its optimizer's kind, in the order of the tables.

    Some labels have their own line. The first other label of a kind has the kind's own line;
    further ones of it, and kinds that have none, take what is left, which repeats after twelve.
    """
    free = dict(_BY_OPTIMIZER)
    spare = cycle(
        LineStyle(colour, 1.6, dashes, marker, 2.4)
        for dashes in _SPARE_DASHES
        for colour, marker in zip(_SPARE_COLOURS, _SPARE_MARKERS, strict=True)
    )

    def line(label: str, kind: str) -> LineStyle:
        if label in _BY_LABEL:
            return _BY_LABEL[label]
        return free.pop(kind) if kind in free else next(spare)

    return {label: line(label, kind) for label, kind in optimizers.items()}
