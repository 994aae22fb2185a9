"""Colours and line styles, the same for an optimizer in every figure."""

from __future__ import annotations

from dataclasses import dataclass
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
    """How an optimizer is drawn. `order` is the z-order: a higher one lies above.

    The baselines are black and grey, the line searches coloured, and ALSALS and PeakSLS in front.
    Peers, dash-dotted, lie behind.
    """

    colour: str
    width: float = 1.6
    dashes: Dashes = SOLID
    marker: str = "o"
    order: float = 2.3

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of `Axes.plot`, without the marker."""
        return {
            "color": self.colour,
            "linewidth": self.width,
            "linestyle": self.dashes,
            "zorder": self.order,
        }
