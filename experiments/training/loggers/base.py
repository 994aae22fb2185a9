"""What a logger is, and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.files.run_folder import RunFolder

Row = dict[str, Any]


@dataclass(frozen=True)
class RunInfo:
    """What a logger may want to know of a run before its first row."""

    folder: RunFolder
    identifier: str
    experiment: str
    task: str
    model: str
    optimizer: str
    seed: int
    config: Mapping[str, Any]
    config_hash: str
    hold_out: float | None
    """The share of training examples that validation is made of, in a run that tunes."""
    lower_is_better: frozenset[str]
    """Those of an evaluation's numbers that ought to fall; the others ought to rise."""
    total_steps: int
    steps_per_epoch: int
    first_step: int

    @property
    def name(self) -> str:
        """`<optimizer>-s<seed>`."""
        return f"{self.optimizer}-s{self.seed}"


class Logger(Protocol):
    """Takes the rows of a run: flat dictionaries of numbers, strings, booleans and None."""

    def start(self, info: RunInfo) -> None:
        """Called once, before the first row; `info.first_step` is not zero in a resumed run."""

    def step(self, row: Row) -> None:
        """Called after every training step."""

    def evaluation(self, row: Row) -> None:
        """Called after every evaluation."""

    def finish(self, summary: Row) -> None:
        """Called once, last, even if the run broke; `summary["status"]` says how it ended."""


class Loggers:
    """Several loggers as one, called in their order."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = tuple(loggers)

    def start(self, info: RunInfo) -> None:
        """Start all."""
        for logger in self.loggers:
            logger.start(info)

    def step(self, row: Row) -> None:
        """Give the row to all."""
        for logger in self.loggers:
            logger.step(row)

    def evaluation(self, row: Row) -> None:
        """Give the row to all."""
        for logger in self.loggers:
            logger.evaluation(row)

    def finish(self, summary: Row) -> None:
        """Finish all."""
        for logger in self.loggers:
            logger.finish(summary)
