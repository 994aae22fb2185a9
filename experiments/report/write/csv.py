"""`runs.csv`: every run with all its numbers."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from experiments.report.read.records import Results


def runs_csv(results: Results) -> str:
    """One line per run, sorted by folder; a cell is empty where a run has no such number.

    Columns: what the run is, its folder relative to the results, all of its summary
    (`final.accuracy`, `best.step`, …), its last step (`last.…`), the optimizer's settings as JSON,
    commit and versions. No text begins as a formula does, with = + - or @.
    """
    rows = [map(_as_text, row) for row in results.table.itertuples(index=False)]
    # Objects: pandas' own texts hold no bytes of a file's name that are not text.
    table = pd.DataFrame(rows, columns=list(map(_as_text, results.table)), dtype=object)
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def _as_text(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe instead."""
    if isinstance(value, list):
        value = json.dumps(value)
    is_formula = isinstance(value, str) and value.startswith(tuple("=+-@\t\r\n"))
    return f"'{value}" if is_formula else value
