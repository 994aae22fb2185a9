"""The table of bad inputs: the rows of all subjects."""

from __future__ import annotations

from tests.attack.inputs import config_files, data, main_keys, results, sweeps
from tests.attack.inputs.row import Row

ROWS: list[Row] = [
    *main_keys.ROWS,
    *config_files.ROWS,
    *sweeps.ROWS,
    *data.ROWS,
    *results.ROWS,
]
