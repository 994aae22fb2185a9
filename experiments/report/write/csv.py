"""`runs.csv`: every run with all its numbers."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from experiments.report.read.records import Results

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def runs_csv(results: Results) -> str:
    """One line per run, sorted by folder; a cell is empty where a run has no such number.

    Columns: what the run is, its folder relative to the results, all of its summary
    (`final.accuracy`, `best.step`, …), its last step (`last.…`), the optimizer's settings as JSON,
    commit and versions. No text begins as a formula does, with = + - or @.
    """
    table = results.table
    rows = [[_as_text(value) for value in row] for row in table.itertuples(index=False)]
    columns = [_as_text(name) for name in table.columns]
    written = pd.DataFrame(rows, columns=columns, dtype=object)
    text: str = written.to_csv(index=False, lineterminator="\n")
    return text


def _as_text(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe instead."""
    if isinstance(value, list):
        value = json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
