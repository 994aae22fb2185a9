"""Ctrl-C and SIGTERM: one line and an exit code, whenever they come. No libraries.

While libraries are imported there is nothing to clean up, and a signal ends the process at once:
an exception in the middle of an import can surface as any other, or not at all. Within `unwinding`
it is an exception. Training waits for the end of a step (`training.checkpoint`).
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

# The signals that raised `Stopped`: the code that they met may have swallowed the exception.
_raised: list[int] = []


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


def install() -> None:
    """Let the signals end this process with one line, unless they are ignored."""
    for number in _LINES:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _leave_at_once)


@contextmanager
def unwinding() -> Iterator[None]:
    """Let the signals raise `Stopped`, so that files, processes and terminals are left tidy.

    Only the main thread can set signal handlers; in other threads nothing changes.
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
    """The signal that raised `Stopped` since `unwinding` began, even if that was swallowed."""
    return _raised[0] if _raised else None


def signal_of(error: BaseException) -> int | None:
    """The signal that caused an exception, or None.

    After a signal every exception is attributed to it: the interrupted code may turn `Stopped`
    into another.
    """
    if isinstance(error, Stopped):
        return error.number
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else raised_signal()


def exit_code_of(number: int) -> int:
    """The shells' convention: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def line_of(number: int) -> str:
    """The last line of a process that a signal ends."""
    return _LINES.get(signal.Signals(number), "stopped")


def leave(main: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its code; signals after that are ignored."""
    code = main()
    for number in _LINES:
        if signal.getsignal(number) is _leave_at_once:
            # Nothing can catch exceptions at the interpreter's end: a signal would be a traceback.
            signal.signal(number, signal.SIG_IGN)
    if code in map(exit_code_of, _LINES):
        # Do not wait for the libraries' threads, such as downloads that nobody needs any more.
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
