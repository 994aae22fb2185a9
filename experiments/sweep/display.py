"""The states of a sweep's runs for people: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiments.sweep.run_state import RunState
from experiments.sweep.status import Entry, seconds_left

HEARTBEAT_SECONDS = 60.0


@dataclass
class LiveTable:
    """A table at the bottom of a terminal, drawn anew at every `show`."""

    live: Live
    workers: int | None

    def say(self, line: str) -> None:
        """Print above the table."""
        self.live.console.print(Text(line))

    def show(self, entries: Sequence[Entry]) -> None:
        """Draw the table."""
        self.live.update(table(entries, self.workers), refresh=True)


class PlainLines:
    """A line when a run starts or ends, and an overview after a minute without one."""

    def __init__(self, console: Console, workers: int | None) -> None:
        self._console = console
        self._workers = workers
        self._before: dict[str, RunState] = {}
        self._last_line = time.monotonic()

    def say(self, line: str) -> None:
        """Print, at once and unbroken, so that it can be searched for."""
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()
        self._last_line = time.monotonic()

    def show(self, entries: Sequence[Entry]) -> None:
        """Print what has changed, or after a minute without a line the overview."""
        for entry in entries:
            line = change(self._before.get(entry.name, entry.state), entry)
            self._before[entry.name] = entry.state
            if line is not None:
                self.say(line)
        if time.monotonic() - self._last_line >= HEARTBEAT_SECONDS:
            self.say(overview(entries, self._workers))


@contextmanager
def open_display(workers: int | None) -> Iterator[LiveTable | PlainLines]:
    """The display for standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield PlainLines(console, workers)
        return
    # No thread of its own draws it: processes are started from a process with one thread.
    with Live(console=console, auto_refresh=False) as live:
        yield LiveTable(live, workers)


def change(before: RunState, entry: Entry) -> str | None:
    """The line about a run's new state; None if there is nothing to report."""
    state = entry.state
    if state.kind == before.kind:
        return None
    match state.kind:
        case "running":
            return f"{'goes on' if before.kind == 'stopped' else 'started'}: {entry.name}"
        case "finished" | "diverged" | "stuck":
            took = "" if state.seconds is None else f" in {duration(state.seconds)}"
            loss = f", training loss {loss_text(state.loss)}"
            return f"{state.kind}: {entry.name}, {state.step} steps{took}{loss}"
        case "failed" | "stopped":
            reason = f": {state.reason}" if state.reason else f" at step {state.step}"
            return f"{state.kind}: {entry.name}{reason}"
    return None


def overview(entries: Sequence[Entry], workers: int | None) -> str:
    """The number of runs in each state, and how long the rest may take, in one line.

    With `workers` None, as many runs go at once as are running now.
    """
    counts: Counter[str] = Counter(entry.state.kind for entry in entries)
    # Shown even when zero.
    always = ("finished", "running", "waiting")
    kinds = (*always, "stopped", "failed", "diverged", "stuck")
    parts = [f"{counts[kind]} {kind}" for kind in kinds if counts[kind] or kind in always]
    unfinished = ("running", "waiting", "stopped")
    seconds = [seconds_left(e, entries) for e in entries if e.state.kind in unfinished]
    known = [number for number in seconds if number is not None]
    at_once = max(1, counts["running"]) if workers is None else workers
    # One run cannot be shared among workers.
    left = max([sum(known) / at_once, *known])
    if left:
        about = "about" if len(known) == len(seconds) else "more than"
        parts.append(f"{about} {duration(left)} left")
    elif len(known) < len(seconds):
        parts.append("time left not known yet")
    return ", ".join(parts)


def table(entries: Sequence[Entry], workers: int | None) -> Group:
    """The overview, a line for each run that is running, and for each that failed its reason."""
    running, failed = [], []
    for entry in entries:
        state = entry.state
        if state.kind == "running":
            total = "-" if state.total_steps is None else state.total_steps
            left = "-" if state.seconds is None else duration(state.seconds * state.share_left)
            running.append((entry, state.step, total, loss_text(state.loss), left))
        elif state.kind in ("failed", "stopped") and state.reason:
            failed.append((entry, state.attempts, f"{state.kind}: {state.reason}"))
    parts: list[Text | Table] = [Text(overview(entries, workers))]
    if running:
        parts.append(_table(running, "running", "seed", "step", "of", "loss", "left"))
    if failed:
        parts.append(_table(failed, "not finished", "seed", "attempts", "reason"))
    return Group(*parts)


def _table(rows: Sequence[tuple[Any, ...]], first: str, *others: str) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (first, "optimizer", *others):
        if name in (first, "optimizer", "reason"):
            made.add_column(name, overflow="fold", ratio=1 if name == "reason" else None)
        else:
            made.add_column(name, justify="right", no_wrap=True)
    for entry, *cells in rows:
        row = f"{entry.row} (tuning)" if entry.stage == "tuning" else entry.row
        # As `Text`, in which square brackets are no markup.
        made.add_row(*(Text(str(cell)) for cell in (row, entry.label, entry.seed, *cells)))
    return made


def duration(seconds: float) -> str:
    """Two units at most: `40 s`, `12 min`, `3 h 05 min`, `2 d 4 h`; `?` if it is not finite."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def loss_text(loss: float | None) -> str:
    """Four digits; `-` where there is none."""
    if loss is None:
        return "-"
    return "not finite" if not math.isfinite(loss) else f"{loss:.4g}"


def count_of_runs(count: int) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} run{'' if count == 1 else 's'}"
