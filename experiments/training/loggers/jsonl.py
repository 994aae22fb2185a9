"""Rows into `metrics.jsonl`, the record that the report reads."""

from __future__ import annotations

from experiments.files.run_folder import RunFolder
from experiments.training.loggers.base import Row, RunInfo


class JsonlLogger:
    """Appends every row to the folder's `metrics.jsonl`, at once."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def start(self, info: RunInfo) -> None:
        """Nothing: what a resumed run has to cut off is cut when its checkpoint is loaded."""

    def step(self, row: Row) -> None:
        """Append the row."""
        self.folder.append_row(row)

    def evaluation(self, row: Row) -> None:
        """Append the row."""
        self.folder.append_row(row)

    def finish(self, summary: Row) -> None:
        """Nothing: every row is written already."""
