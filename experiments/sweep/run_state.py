"""The state of a run, read from its folder alone, and the failure that is written there. No torch.

Reading a state is cheap enough for every second.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from experiments.errors import BusyError, UserError
from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, open_regular
from experiments.files.run_folder import RunFolder
from experiments.sweep.launchers.process import Outcome

Kind = Literal["finished", "diverged", "stuck", "running", "stopped", "failed", "waiting"]

_TAIL_BYTES = 16_384
_LINES_KEPT = 20
_HEADER = b"--- started "


@dataclass(frozen=True)
class RunState:
    """What is known of a run. `None` is unknown.

    `stopped` has a checkpoint and no process: it goes on when it is started again. `failed` ended
    by itself with an error, and is started again only with `--retry-failed`.
    """

    kind: Kind
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    """Of the last step; NaN where it was not finite."""
    seconds: float | None = None
    """Duration of a finished run, evaluations included where the run has it; of a running one's
    training as a whole, as fast as its steps so far."""
    attempts: int = 0
    """Attempts that failed, or were killed, since it last finished."""
    reason: str = ""
    """Of the last failure, in one line."""
    output: tuple[str, ...] = ()
    """The last lines that it printed before it failed."""

    @property
    def share_left(self) -> float:
        """The share of its steps that is still to do."""
        return max(0.0, 1 - self.step / self.total_steps) if self.total_steps else 1.0


def state_of(folder: RunFolder) -> RunState:
    """The state of a run, whoever runs it and wherever: only files and the lock are read."""
    try:
        summary, running = folder.summary(), False
        if summary is None:
            # The lock before the failure: an attempt that runs now is later than one that failed.
            running = folder.is_locked()
            # It may have ended between the two looks.
            summary = None if running else folder.summary()
        return _not_done(folder, running=running) if summary is None else _done(summary)
    except UserError as error:
        return RunState("failed", reason=" ".join(str(error).split()))


def ended_from_outside(exit_code: int) -> bool:
    """True for the exit code of a process that a signal or Ctrl-C ended.

    A shell gives death by signal n as 128 + n, `subprocess` as -n; a run's own Ctrl-C is 130.
    """
    return exit_code < 0 or exit_code > 128


def _done(summary: dict[str, Any]) -> RunState:
    steps = summary.get("steps") or 0
    return RunState(
        summary["status"],
        step=steps,
        total_steps=steps,
        loss=_number((summary.get("final") or {}).get("train_loss")),
        # Runs of earlier versions have the time of their steps only.
        seconds=summary.get("seconds_total", summary.get("seconds_training")),
    )


def _not_done(folder: RunFolder, *, running: bool) -> RunState:
    broken: list[str] = []
    failure = _readable(folder.failure, broken)
    has_failed = bool(broken) or (
        bool(failure) and not ended_from_outside(failure.get("exit_code", 1))
    )
    plan, row = _readable(folder.plan, broken), _readable(folder.last_step, broken)
    step, total, seconds = row.get("step", 0), plan.get("total_steps"), row.get("seconds")
    reason = failure.get("reason") or "; ".join(broken)
    idle: Kind = "stopped" if os.path.exists(folder.checkpoint_file) else "waiting"
    timed = running and step and total is not None and seconds is not None
    return RunState(
        "running" if running else "failed" if has_failed else idle,
        step=step,
        total_steps=total,
        loss=_number(row["loss"]) if "loss" in row else None,
        seconds=seconds / step * total if timed else None,
        attempts=failure.get("attempts", 0),
        reason=" ".join(reason.split()),
        output=tuple(failure.get("output", ())),
    )


def _readable(read: Callable[[], dict[str, Any] | None], broken: list[str]) -> dict[str, Any]:
    """The values of a file; empty for a broken one, whose error is appended."""
    try:
        return read() or {}
    except UserError as error:
        broken.append(str(error))
        return {}


def _number(value: Any) -> float:
    """JSON has no NaN; files have null for it."""
    return math.nan if value is None else float(value)


# ---------------------------------------------------------------------------------- failures


def failure_of(folder: RunFolder, outcome: Outcome) -> RunState | None:
    """The failure of a process that ended; None if its run is done or another process has it.

    It is written to the folder's `failure.json`, unless the summary is broken or the disk refuses.
    A process that was ended from outside counts as failed too, but its run as stopped, so that the
    next sweep goes on with it.
    """
    try:
        if folder.summary() is not None or outcome.exit_code == BusyError.exit_code:
            return None
    except UserError:  # a corrupt file is reported until it is deleted
        return state_of(folder)
    # Where there was no process, the last lines are of an earlier one.
    output = [] if outcome.reason else _last_lines(folder.output_file)
    reason = outcome.reason or _reason(outcome.exit_code, output)
    attempts = _readable(folder.failure, []).get("attempts", 0) + 1
    with suppress(DiskError):
        folder.write_failure(
            {
                "exit_code": outcome.exit_code,
                "time": datetime.now().astimezone().isoformat(timespec="seconds"),
                "attempts": attempts,
                "reason": reason,
                "output": output,
            }
        )
    return RunState("failed", attempts=attempts, reason=reason, output=tuple(output))


def _last_lines(file: Path) -> list[str]:
    """At most 20 lines from the end of a run's output, of its last attempt only."""
    try:
        with open_regular(file) as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = opened.read()
    except (OSError, BrokenFileError):
        return []
    attempt = text.rpartition(b"\n" + _HEADER)[2]
    # The first one is the rest of the attempt's header.
    lines = [line.rstrip() for line in attempt.decode(errors="replace").splitlines()[1:]]
    return [line for line in lines if line][-_LINES_KEPT:]


def _reason(exit_code: int, output: list[str]) -> str:
    if ended_from_outside(exit_code):
        number = -exit_code if exit_code < 0 else exit_code - 128
        memory = ", perhaps out of memory" if number == signal.SIGKILL else ""
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"ended from outside by {name}{memory}; the next start goes on"
    if output:
        return output[-1].removeprefix("error: ")
    return f"exit code {exit_code} and no output"
