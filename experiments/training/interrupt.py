"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class InterruptedBetweenSteps(KeyboardInterrupt):
    """Ctrl-C, raised where the state of the run is whole and worth a checkpoint."""


class Interrupt:
    """Remembers a Ctrl-C until `check` is called."""

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise `InterruptedBetweenSteps` if Ctrl-C was pressed."""
        if self.requested:
            raise InterruptedBetweenSteps


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Within, a first Ctrl-C is remembered; a second one ends what is going on at once.

    Only the main thread can say what a signal does, so elsewhere nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.getsignal(signal.SIGINT)

    def remember(_number: int, _frame: FrameType | None) -> None:
        interrupt.requested = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, remember)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
