"""A report as Markdown, HTML and LaTeX, by jinja templates that escape every value they show."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from experiments.report.write.document import Document, Figure
from experiments.report.write.latex import escaped

# Markup within a line; `$` begins mathematics, `&` an entity.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~$&#!]")
# Markup at the start of a line only: lists, numbered ones too, and underlines.
_START = re.compile(r"^(\d*)([.)](?=\s|$)|[-+](?=[-+\s]|$)|=)")
# Figures have this many pixels for each of a plain screen, so that text is sharp on fine ones.
_PIXELS = 1.6


def to_markdown(document: Document, *, pictures: str) -> str:
    """The whole report as GitHub reads it; figures are files, `<pictures>/<key>.png`."""

    def escape(text: str) -> str:
        return _START.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", " ".join(text.split())))

    filters = {"address": lambda figure: f"{quote(pictures)}/{quote(figure.key)}.png"}
    text = _render("report.md", document, escape, filters)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def to_html(document: Document) -> str:
    """The whole report as one file: figures, fonts and style are inside, nothing is fetched."""

    def data_url(figure: Figure) -> str:
        return f"data:image/png;base64,{base64.b64encode(figure.png).decode('ascii')}"

    def size(figure: Figure) -> tuple[int, int]:
        """Width and height on the page, from the head of the PNG."""
        width, height = struct.unpack(">II", figure.png[16:24])
        return round(width / _PIXELS), round(height / _PIXELS)

    return _render("report.html", document, None, {"data_url": data_url, "size": size})


def to_latex(document: Document) -> str:
    """All tables of the document as `tabular`s of booktabs, each in a `table` of its own."""
    marks = {"variable_start_string": "<<", "variable_end_string": ">>"}
    return _render("tables.tex", document, escaped, {}, **marks, comment_start_string="<#")


def _render(
    template: str,
    document: Document,
    escape: Callable[[str], str] | None,
    filters: dict[str, Callable[[Figure], Any]],
    **marks: str,
) -> str:
    """The document in a template; values are escaped by `escape` (None: as HTML) unless `safe`."""
    options: dict[str, Any] = dict(marks)
    if escape is not None:
        options["finalize"] = lambda value: value if isinstance(value, Markup) else escape(value)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=escape is None,  # noqa: S701 - else `finalize` escapes
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= filters
    return environment.get_template(template).render(document=document)
