"""A report as data: what the writers of Markdown, HTML and LaTeX turn into files."""

from __future__ import annotations

from dataclasses import dataclass

MADE_BY = "sls report"
"""Written into every picture, so that the next report knows which ones it may delete."""


@dataclass(frozen=True)
class Cell:
    """Plain text; the writers escape it."""

    text: str
    bold: bool = False
    note: str = ""
    """In small type beside the text: how many seeds, what is missing."""


@dataclass(frozen=True)
class Table:
    """`key` is its name in files and references: lower case, digits and hyphens.

    Every row is as long as `columns`; the first column holds the rows' names.
    """

    key: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A PNG and, for those who cannot see it, what it shows (`alternative`)."""

    key: str
    title: str
    caption: str
    alternative: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """A heading, then paragraphs, pictures and tables, in this order. `key` is its anchor."""

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report; `warnings` is what a reader must know before believing it."""

    title: str
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
