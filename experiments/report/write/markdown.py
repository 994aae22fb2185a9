"""A report as Markdown, as GitHub reads it."""

from __future__ import annotations

import re
from urllib.parse import quote

from experiments.report.write.document import Document
from experiments.report.write.render import render

# Markup within a line; `$` begins mathematics, `&` an entity.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~$&#!]")
# Markup at the start of a line only: lists, numbered ones too, and underlines.
_START = re.compile(r"^(\d*)([.)](?=\s|$)|[-+](?=[-+\s]|$)|=)")


def to_markdown(document: Document, *, pictures: str) -> str:
    """The whole report; figures are named `<pictures>/<key>.png`, relative to its file."""
    filters = {"address": lambda figure: f"{quote(pictures)}/{quote(figure.key)}.png"}
    text = render("report.md", document, _escaped, filters=filters)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _escaped(text: str) -> str:
    """One line of plain text that no reader of Markdown takes for anything else."""
    return _START.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", " ".join(text.split())))
