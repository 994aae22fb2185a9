"""The colours of all figures, and the line of each label, the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

from experiments.optimizers.build import OPTIMIZERS
from experiments.optimizers.line_styles import (
    AMBER,
    DASHED,
    DOTTED,
    INDIGO,
    PURPLE,
    SOLID,
    WINE,
    LineStyle,
)

Styles = Mapping[str, LineStyle]
"""The line of each label."""

_SPARE_COLOURS = (PURPLE, AMBER, WINE, INDIGO)
_SPARE_DASHES = (SOLID, DASHED, DOTTED)
_SPARE_MARKERS = ("X", "h", ">", "p")


def line_styles(optimizers: Mapping[str, str]) -> dict[str, LineStyle]:
    """The line of each label, given its optimizer's kind, in the order of the tables.

    An optimizer's file gives lines to its kind and to some labels. The first other label of a kind
    has the kind's line; further ones, and kinds without a line, take spare ones, which repeat after
    twelve.
    """
    free = {name: style for known in OPTIMIZERS for name, style in known.lines.items()}
    spare = cycle(
        LineStyle(colour, 1.6, dashes, marker, 2.4)
        for dashes in _SPARE_DASHES
        for colour, marker in zip(_SPARE_COLOURS, _SPARE_MARKERS, strict=True)
    )
    styles = {}
    for label, kind in optimizers.items():
        styles[label] = free.pop(label if label in free else kind, None) or next(spare)
    return styles
