"""The table of bad inputs: the rows of all subjects."""

from __future__ import annotations

from tests.attack.inputs import (
    commands,
    config_files,
    glue,
    images,
    main_keys,
    models,
    results,
    sweeps,
    tables,
    texts,
)
from tests.attack.inputs.row import Row

ROWS: list[Row] = [
    *main_keys.ROWS,
    *config_files.ROWS,
    *sweeps.ROWS,
    *images.ROWS,
    *tables.ROWS,
    *glue.ROWS,
    *texts.ROWS,
    *models.ROWS,
    *results.ROWS,
    *commands.ROWS,
]
