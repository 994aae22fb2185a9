"""Ctrl-C and SIGTERM: one line and an exit code, whenever they come. No libraries.

Until there is anything to tidy up, as while libraries are imported, a signal ends the process on
the spot: an exception in the middle of an import can surface as any other, or not at all. Within
`unwinding` it is an exception. Training waits for the end of a step (`training.interrupt`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

_LINES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

# The signal that has raised `Stopped` somewhere, where whatever it met may have swallowed it.
_raised: list[int] = []


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, which wants the same."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


def install() -> None:
    """From here on the signals end this process with one line, unless they are ignored."""
    for number in _LINES:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _leave_at_once)


@contextmanager
def unwinding() -> Iterator[None]:
    """Within, the signals raise `Stopped`, so that files, processes and terminals are left tidy.

    Only the main thread can say what a signal does, so elsewhere nothing changes.
    """
    _raised.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in _LINES}
    for number, handler in previous.items():
        if handler in (_leave_at_once, signal.SIG_DFL):
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def raised_signal() -> int | None:
    """The signal that has raised `Stopped` since `unwinding` began, wherever that has gone."""
    return _raised[0] if _raised else None


def signal_of(error: BaseException) -> int | None:
    """The signal that an exception comes from; None for one that has another cause.

    After a signal every exception is taken to come from it: what it interrupts may turn it into
    another.
    """
    if isinstance(error, Stopped):
        return error.number
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else raised_signal()


def exit_code_of(number: int) -> int:
    """As shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def line_of(number: int) -> str:
    """What a process says that a signal ends."""
    return _LINES.get(signal.Signals(number), "stopped")


def leave(main: Callable[[], int]) -> NoReturn:
    """Run a program and leave with its exit code; what comes after that stays silent."""
    code = main()
    for number in _LINES:
        if signal.getsignal(number) is _leave_at_once:
            # The interpreter's end knows no `except`: a signal there would be a traceback.
            signal.signal(number, signal.SIG_IGN)
    if code in map(exit_code_of, _LINES):
        # Libraries' threads are not waited for: downloads that nobody wants any more.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _leave_at_once(number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, f"{line_of(number)}\n".encode())
    os._exit(exit_code_of(number))


def _raise(number: int, _frame: FrameType | None) -> None:
    _raised.append(number)
    # Where nobody can catch an exception Python prints it, as in a destructor.
    sys.unraisablehook = _say_nothing
    raise Stopped(number)


def _say_nothing(_unraisable: Any) -> None:
    """Take the place of `sys.unraisablehook`."""
