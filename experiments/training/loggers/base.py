"""Loggers, which take the rows of a run; `JsonlLogger` writes them to `metrics.jsonl`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from experiments.config.schema import RunConfig
from experiments.errors import reason_of
from experiments.files.run_folder import RunFolder

Row = dict[str, Any]


@dataclass(frozen=True)
class RunInfo:
    """A run as loggers see it before its first row."""

    folder: RunFolder
    config: RunConfig
    lower_is_better: frozenset[str]
    """Names of an evaluation's numbers that should fall; the others should rise."""
    total_steps: int
    steps_per_epoch: int
    first_step: int
    """Steps taken by earlier processes; 0 in a new run."""


class Logger:
    """Takes the rows of a run: flat dictionaries of numbers, strings, booleans and None."""

    name = "a logger"

    def start(self, info: RunInfo) -> None:
        """Called once, before the first row."""

    def step(self, row: Row) -> None:
        """Called after every training step."""

    def evaluation(self, row: Row) -> None:
        """Called after every evaluation."""

    def finish(self, summary: Row) -> None:
        """Called once, last, even if the run broke; `summary["status"]` is its end."""

    def abandon(self) -> None:
        """Called instead of anything further after this logger has failed."""


class JsonlLogger(Logger):
    """Appends every row to the folder's `metrics.jsonl`, at once."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def step(self, row: Row) -> None:
        self.folder.append_row(row)

    evaluation = step


class Loggers(Logger):
    """The record of a run, and loggers that only show it: one that fails is left out."""

    def __init__(self, record: Logger, others: Sequence[Logger]) -> None:
        self.record = record
        self.others = list(others)

    def start(self, info: RunInfo) -> None:
        self._call(lambda logger: logger.start(info))

    def step(self, row: Row) -> None:
        self._call(lambda logger: logger.step(row))

    def evaluation(self, row: Row) -> None:
        self._call(lambda logger: logger.evaluation(row))

    def finish(self, summary: Row) -> None:
        self._call(lambda logger: logger.finish(summary))

    def _call(self, call: Callable[[Logger], None]) -> None:
        call(self.record)
        for logger in list(self.others):
            if not attempt(logger.name, partial(call, logger)):
                self.others.remove(logger)
                with suppress(Exception):
                    logger.abandon()


def attempt(what: str, show: Callable[[], object]) -> bool:
    """Call `show`, which must not stop a training; False, and one warning, for any exception."""
    try:
        show()
    except Exception as error:
        warn(f"{what} is left out: {reason_of(error)}")
        return False
    return True


def warn(text: str) -> None:
    """Print one line on standard error, if that is possible."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"warning: {' '.join(text.split())}\n")
        sys.stderr.flush()
