"""A report as one HTML file that needs no other: pictures, fonts and style are inside."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import jinja2

from experiments.report.write.columns import columns_of_sentences, columns_of_words
from experiments.report.write.document import Document, Picture

_TEMPLATES = Path(__file__).resolve().parent / "templates"
# Pictures have this many pixels for each of a plain screen, so that text is sharp on fine ones.
_PIXELS = 1.6


def to_html(document: Document) -> str:
    """The whole report. All text is escaped; nothing is fetched when it is read."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_url"] = _data_url
    environment.filters["columns_of_words"] = columns_of_words
    environment.filters["columns_of_sentences"] = columns_of_sentences
    environment.filters["size"] = _size
    return environment.get_template("report.html").render(document=document)


def _data_url(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"


def _size(picture: Picture) -> tuple[int, int]:
    """Width and height on the page, from the head of the PNG."""
    width, height = struct.unpack(">II", picture.png[16:24])
    return round(width / _PIXELS), round(height / _PIXELS)
