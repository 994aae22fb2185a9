"""The states of a sweep's runs for people: a table, and single lines; functions of the states."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from experiments.sweep.run_state import KINDS, RunState
from experiments.sweep.status import Entry


def overview(entries: Sequence[Entry], workers: int | None) -> str:
    """How many runs are in which state, and how long the rest may take, in one line."""
    counts = Counter(entry.state.kind for entry in entries)
    # Three are always told, so that a reader sees that there are none.
    told = [
        f"{counts[kind]} {kind}"
        for kind in KINDS
        if counts[kind] or kind in ("finished", "running", "waiting")
    ]
    seconds, of_all = seconds_left(entries, workers)
    if seconds:
        told.append(f"{'about' if of_all else 'more than'} {duration(seconds)} left")
    elif not of_all:
        told.append("time left not known yet")
    return ", ".join(told)


def table(entries: Sequence[Entry], workers: int | None) -> Group:
    """The overview, a line for each run that is running, and for each that failed its reason."""
    parts: list[Text | Table] = [Text(overview(entries, workers))]
    running = [entry for entry in entries if entry.state.kind == "running"]
    if running:
        parts.append(_running(running))
    failed = [e for e in entries if e.state.kind in ("failed", "stopped") and e.state.reason]
    if failed:
        parts.append(_failed(failed))
    return Group(*parts)


def _running(entries: Sequence[Entry]) -> Table:
    made = _empty(("running", "optimizer"), ("seed", "step", "of", "loss", "left"))
    for entry in entries:
        state = entry.state
        left = "-" if state.seconds_left is None else duration(state.seconds_left)
        total = "-" if state.total_steps is None else str(state.total_steps)
        numbers = (str(entry.seed), str(state.step), total, loss_text(state.loss), left)
        made.add_row(*_names(entry), *map(Text, numbers))
    return made


def _failed(entries: Sequence[Entry]) -> Table:
    made = _empty(("not finished", "optimizer"), ("seed", "attempts"))
    made.add_column("reason", overflow="fold", ratio=1)
    for entry in entries:
        numbers = (str(entry.seed), str(entry.state.attempts))
        reason = f"{entry.state.kind}: {entry.state.reason}"
        made.add_row(*_names(entry), *map(Text, (*numbers, reason)))
    return made


def _empty(left: Sequence[str], right: Sequence[str]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _names(entry: Entry) -> tuple[Text, Text]:
    """As `Text`, in which square brackets are no markup."""
    row = f"{entry.row} (tuning)" if entry.stage == "tuning" else entry.row
    return Text(row), Text(entry.label)


def seconds_left(entries: Sequence[Entry], workers: int | None) -> tuple[float, bool]:
    """How long the sweep may still take, and whether that is all of it.

    It is not if nothing like one of its runs has been seen; such runs are left out.

    A run takes as long as the mean of the finished ones of its row and label, else of its row, else
    as its own pace or that of a running one of its row says. Failed runs are not counted. With
    `workers` None, as many runs go at once as are running now.
    """
    unfinished = [e for e in entries if e.state.kind in ("running", "waiting", "stopped")]
    seconds = [_seconds_left(entry, entries) for entry in unfinished]
    known = [number for number in seconds if number is not None]
    if workers is None:
        workers = max(1, sum(entry.state.kind == "running" for entry in entries))
    return max([sum(known) / workers, *known]), len(known) == len(seconds)


def _seconds_left(entry: Entry, entries: Sequence[Entry]) -> float | None:
    whole = _expected_seconds(entry, entries)
    if whole is None:
        return None
    state = entry.state
    done = state.step / state.total_steps if state.total_steps else 0.0
    return whole * (1 - done)


def _expected_seconds(entry: Entry, entries: Sequence[Entry]) -> float | None:
    same_row = [other for other in entries if other.row == entry.row]
    same_cell = [other for other in same_row if other.label == entry.label]
    finished = [
        [other.state.seconds for other in group if other.state.kind == "finished"]
        for group in (same_cell, same_row)
    ]
    running = [[_paced_seconds(other.state) for other in group] for group in (same_cell, same_row)]
    for candidates in (*finished, [_paced_seconds(entry.state)], *running):
        known = [seconds for seconds in candidates if seconds is not None]
        if known:
            return sum(known) / len(known)
    return None


def _paced_seconds(state: RunState) -> float | None:
    """The whole of a running run's training, by its steps so far."""
    if state.seconds_left is None or not state.total_steps or state.step >= state.total_steps:
        return None
    return state.seconds_left * state.total_steps / (state.total_steps - state.step)


def change(before: RunState, entry: Entry) -> str | None:
    """What is worth a line when a run's state has become another; None if nothing is."""
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
