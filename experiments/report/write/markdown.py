"""A report as Markdown, as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from experiments.report.write.columns import columns_of_words
from experiments.report.write.document import Cell, Document, Picture, Section, Table

# What means something within a line; `$` begins mathematics, `&` an entity.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~$&#!]")
# What means something at the start of a line only: lists, numbered ones too, and underlines.
_START = re.compile(r"^(\d*)([.)](?=\s|$)|[-+](?=[-+\s]|$)|=)")


def to_markdown(document: Document, *, pictures: str) -> str:
    """The whole report; pictures are named `<pictures>/<key>.png`, relative to its file."""
    blocks = [f"# {_plain(document.title)}", *map(_plain, document.summary)]
    if document.warnings:
        blocks.append("> [!WARNING]\n" + "\n".join(f"> - {_plain(w)}" for w in document.warnings))
    for section in document.sections:
        blocks += _section(section, pictures)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(section: Section, pictures: str) -> Iterator[str]:
    yield f"## {_plain(section.title)}"
    yield from map(_plain, section.paragraphs)
    for picture in section.pictures:
        yield from _picture(picture, pictures)
    for table in section.tables:
        yield from _table(table)


def _picture(picture: Picture, pictures: str) -> Iterator[str]:
    yield f"### {_plain(picture.title)}"
    yield f"![{_plain(picture.alternative)}]({quote(pictures)}/{quote(picture.key)}.png)"
    yield _plain(picture.caption)


def _table(table: Table) -> Iterator[str]:
    yield f"### {_plain(table.title)}"
    yield _plain(table.caption)
    lines = [[_plain(name) for name in table.columns]]
    lines.append([":--" if words else "--:" for words in columns_of_words(table)])
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    parts = [f"**{text}**" if cell.bold and text else text]
    if cell.note.strip():
        parts.append(f"<sub>{_plain(cell.note)}</sub>")
    return " ".join(part for part in parts if part)


def _plain(text: str) -> str:
    """One line of plain text that no reader of Markdown takes for anything else."""
    escaped = _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
    return _START.sub(r"\1\\\2", escaped)
