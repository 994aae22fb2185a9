"""Which columns of a table are read as words and not compared as numbers."""

from __future__ import annotations

import re

from experiments.report.document import Table

_WORD = re.compile(r"[^\W\d_]{2,}")


def columns_of_words(table: Table) -> tuple[bool, ...]:
    """True for columns to set flush left: the rows' names, and those with a cell of three words."""
    return tuple(
        number == 0 or any(len(_WORD.findall(row[number].text)) >= 3 for row in table.rows)
        for number in range(len(table.columns))
    )
