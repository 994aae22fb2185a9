"""A report as data: the writers make Markdown, HTML and LaTeX of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MADE_BY = "sls report"
"""Written into every figure, so that the next report knows which ones it may delete."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"[+-]?\.?\d")
# Texts in place of a number.
_INSTEAD = frozenset(("", "–", "missing", "diverged", "stuck", "none", "not reached"))


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

    @property
    def columns_of_words(self) -> tuple[bool, ...]:
        """True for columns to set flush left: the rows' names, other names, and sentences."""
        return tuple(
            number == 0 or is_sentences or _are_names([row[number].text for row in self.rows])
            for number, is_sentences in enumerate(self.columns_of_sentences)
        )

    @property
    def columns_of_sentences(self) -> tuple[bool, ...]:
        """True for columns with a cell of three words, which may be broken into lines."""
        return tuple(
            any(len(_WORD.findall(row[number].text)) >= 3 for row in self.rows)
            for number in range(len(self.columns))
        )


def _are_names(texts: list[str]) -> bool:
    names = [text for text in texts if text not in _INSTEAD]
    return bool(names) and not any(_NUMBER.match(text) for text in names)


def filled(rows: Iterable[Sequence[Cell | str]]) -> tuple[tuple[Cell, ...], ...]:
    """The rows of a table, with a cell for each text."""
    return tuple(tuple(Cell(c) if isinstance(c, str) else c for c in row) for row in rows)


def without_repeats(rows: Iterable[Sequence[Cell | str]]) -> tuple[tuple[Cell, ...], ...]:
    """The rows of a long table; the first cell is empty where it repeats the one above."""
    cells = filled(rows)
    names = [None, *(row[0] for row in cells)]
    return tuple(
        (Cell(""), *row[1:]) if row[0] == above else row
        for above, row in zip(names, cells, strict=False)
    )


@dataclass(frozen=True)
class Figure:
    """A PNG and, for those who cannot see it, a description (`alternative`)."""

    key: str
    title: str
    caption: str
    alternative: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """A heading, then paragraphs, figures and tables, in this order. `key` is its anchor."""

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report; a reader must know the `warnings` before believing it."""

    title: str
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
