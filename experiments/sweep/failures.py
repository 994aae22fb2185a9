"""How a run failed: judged by its folder and exit code, then written down. No torch."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.errors import BusyError, UserError
from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, open_regular
from experiments.files.run_folder import RunFolder
from experiments.sweep.launchers.job import Outcome
from experiments.sweep.run_state import RunState, ended_from_outside, state_of

_TAIL_BYTES = 16_384
_LINES_KEPT = 20
_HEADER = b"--- started "


@dataclass(frozen=True)
class Failure:
    """A run that this sweep could not bring to its end."""

    folder: Path
    reason: str
    output: tuple[str, ...]
    """The last lines of its output."""


def failure_of(folder: RunFolder, outcome: Outcome) -> Failure | None:
    """What to say of a process that ended; None if its run is done or somebody else's.

    A failure is written to the folder's `failure.json`, but for one of a broken summary, and as far
    as the disk takes it. A process that was ended from outside counts as failed too, but its run as
    stopped, so that the next sweep goes on with it.
    """
    try:
        done = folder.summary() is not None
    except UserError:  # a broken file tells of itself until it is deleted
        return failed_before(folder, state_of(folder))
    if done or outcome.exit_code == BusyError.exit_code:
        return None
    # Where there was no process, the last lines are of an earlier one.
    output = [] if outcome.reason else last_lines(folder.output_file)
    reason = outcome.reason or _reason(outcome.exit_code, output)
    with suppress(DiskError):
        folder.write_failure(
            {
                "exit_code": outcome.exit_code,
                "time": datetime.now().astimezone().isoformat(timespec="seconds"),
                "attempts": _failure(folder).get("attempts", 0) + 1,
                "reason": reason,
                "output": output,
            }
        )
    return Failure(folder.path, reason, tuple(output))


def _failure(folder: RunFolder) -> dict[str, Any]:
    """What is known of an earlier failure."""
    try:
        return folder.failure() or {}
    except UserError:
        return {}


def failed_before(folder: RunFolder, state: RunState) -> Failure:
    """The failure of a run that is not tried."""
    return Failure(folder.path, state.reason, tuple(_failure(folder).get("output", [])))


def last_lines(file: Path) -> list[str]:
    """At most 20 lines from the end of a run's output, of its last attempt only."""
    try:
        with open_regular(file) as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = opened.read()
    except (OSError, BrokenFileError):
        return []
    attempt = text.rpartition(b"\n" + _HEADER)[2] if b"\n" + _HEADER in text else text
    # What an attempt's header leaves is the rest of its line.
    lines = [line.rstrip() for line in attempt.decode(errors="replace").splitlines()]
    said = [line for line in lines[1:] if line]
    return said[-_LINES_KEPT:]


def _reason(exit_code: int, output: list[str]) -> str:
    if ended_from_outside(exit_code):
        number = -exit_code if exit_code < 0 else exit_code - 128
        memory = ", perhaps out of memory" if number == signal.SIGKILL else ""
        return f"ended from outside by {_signal_name(number)}{memory}; the next start goes on"
    if output:
        return output[-1].removeprefix("error: ")
    return f"exit code {exit_code} and no output"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
