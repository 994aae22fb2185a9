"""Which columns of a table are read as words and not compared as numbers."""

from __future__ import annotations

import re

from experiments.report.write.document import Table

_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"[+-]?\.?\d")
# What stands where a number could be.
_INSTEAD = frozenset(("", "–", "missing", "diverged", "stuck", "none", "not reached"))


def columns_of_words(table: Table) -> tuple[bool, ...]:
    """True for columns to set flush left: the rows' names, other names, and sentences."""
    sentences = columns_of_sentences(table)
    return tuple(
        number == 0 or sentences[number] or _are_names([row[number].text for row in table.rows])
        for number in range(len(table.columns))
    )


def columns_of_sentences(table: Table) -> tuple[bool, ...]:
    """True for columns with a cell of three words, which may be broken into lines."""
    return tuple(
        any(len(_WORD.findall(row[number].text)) >= 3 for row in table.rows)
        for number in range(len(table.columns))
    )


def _are_names(texts: list[str]) -> bool:
    names = [text for text in texts if text not in _INSTEAD]
    return bool(names) and not any(_NUMBER.match(text) for text in names)
