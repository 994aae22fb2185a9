"""What is only shown never stops what is trained: it is left out with one warning."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from experiments.training.loggers.base import Logger, Row, RunInfo


def warn(text: str) -> None:
    """One line on standard error, if it takes one."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"warning: {' '.join(text.split())}\n")
        sys.stderr.flush()


def shown(what: str, show: Callable[[], object]) -> bool:
    """Call `show`; if it fails, whatever the reason, warn that `what` is left out.

    Returns:
        True if it was shown.
    """
    try:
        show()
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        warn(f"{what} is left out: {reason}")
        return False
    return True


class Shown:
    """A logger that may fail: from its first exception on it is left out."""

    def __init__(self, name: str, logger: Logger) -> None:
        self._name = name
        self._logger = logger
        self._works = True

    def start(self, info: RunInfo) -> None:
        """As the logger."""
        self._call(lambda: self._logger.start(info))

    def step(self, row: Row) -> None:
        """As the logger."""
        self._call(lambda: self._logger.step(row))

    def evaluation(self, row: Row) -> None:
        """As the logger."""
        self._call(lambda: self._logger.evaluation(row))

    def finish(self, summary: Row) -> None:
        """As the logger, even after a failure: it may have a terminal to give back."""
        self._works = True
        self._call(lambda: self._logger.finish(summary))

    def _call(self, call: Callable[[], None]) -> None:
        self._works = self._works and shown(self._name, call)
