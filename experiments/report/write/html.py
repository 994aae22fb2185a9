"""A report as one HTML file that needs no other: figures, fonts and style are inside."""

from __future__ import annotations

import base64
import struct

from experiments.report.write.document import Document, Figure
from experiments.report.write.render import render

# Figures have this many pixels for each of a plain screen, so that text is sharp on fine ones.
_PIXELS = 1.6


def to_html(document: Document) -> str:
    """The whole report. All text is escaped; nothing is fetched when it is read."""
    return render("report.html", document, filters={"data_url": _data_url, "size": _size})


def _data_url(figure: Figure) -> str:
    return f"data:image/png;base64,{base64.b64encode(figure.png).decode('ascii')}"


def _size(figure: Figure) -> tuple[int, int]:
    """Width and height on the page, from the head of the PNG."""
    width, height = struct.unpack(">II", figure.png[16:24])
    return round(width / _PIXELS), round(height / _PIXELS)
