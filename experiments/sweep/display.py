"""Shows a sweep while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from experiments.sweep.run_state import RunState
from experiments.sweep.status import Entry
from experiments.sweep.table import change, overview, table

HEARTBEAT_SECONDS = 60.0

Entries = Callable[[], Sequence[Entry]]


class Display(Protocol):
    """What a conductor tells people."""

    def say(self, line: str) -> None:
        """Print a line that stays."""

    def show(self, entries: Sequence[Entry]) -> None:
        """Show how things stand now."""


class LiveTable:
    """A table at the bottom of a terminal, drawn anew at every `show`."""

    def __init__(self, live: Live, workers: int | None) -> None:
        self._live = live
        self._workers = workers

    def say(self, line: str) -> None:
        """Print above the table."""
        self._live.console.print(Text(line))

    def show(self, entries: Sequence[Entry]) -> None:
        """Draw the table."""
        self._live.update(table(entries, self._workers), refresh=True)


class PlainLines:
    """A line when a run starts or ends, and one a minute that says how things stand."""

    def __init__(self, console: Console, workers: int | None) -> None:
        self._console = console
        self._workers = workers
        self._before: dict[tuple[str, str, str, int], RunState] = {}
        self._last_line = time.monotonic()

    def say(self, line: str) -> None:
        """Print, at once and unbroken, so that it can be searched for."""
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()
        self._last_line = time.monotonic()

    def show(self, entries: Sequence[Entry]) -> None:
        """Print what has changed, or after a minute without a line the overview."""
        for entry in entries:
            key = (entry.stage, entry.row, entry.label, entry.seed)
            before = self._before.get(key)
            line = None if before is None else change(before, entry)
            self._before[key] = entry.state
            if line is not None:
                self.say(line)
        if time.monotonic() - self._last_line >= HEARTBEAT_SECONDS:
            self.say(overview(entries, self._workers))


@contextmanager
def open_display(workers: int | None) -> Iterator[Display]:
    """The display that fits where the output goes."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield PlainLines(console, workers)
        return
    # No thread of its own draws it: processes are started from a process with one thread.
    with Live(console=console, auto_refresh=False) as live:
        yield LiveTable(live, workers)
