"""Ctrl-C and SIGTERM that wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from experiments.stopping import Stopped, raised_signal


class InterruptedBetweenSteps(Stopped):
    """A signal, raised where the state of the run is whole and worth a checkpoint."""


class Interrupt:
    """Remembers a signal until `check` is called."""

    def __init__(self) -> None:
        # One that came earlier may have been swallowed by whatever it met.
        self.number = raised_signal()

    def check(self) -> None:
        """Raise `InterruptedBetweenSteps` if a signal has come."""
        if self.number is not None:
            raise InterruptedBetweenSteps(self.number)


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Within, a first Ctrl-C or SIGTERM is remembered; a second ends what is going on at once.

    An error after it is taken to come from it, as where SIGTERM has ended processes that make
    batches; the last checkpoint stands then. Only the main thread can say what a signal does, so
    elsewhere nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _frame: FrameType | None) -> None:
        interrupt.number = number
        signal.signal(number, previous[signal.Signals(number)])

    for number, handler in previous.items():
        # A job of SLURM's ignores SIGTERM, and is told to stop by Ctrl-C.
        if number == signal.SIGINT or handler is not signal.SIG_IGN:
            signal.signal(number, remember)
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
