"""How far a run has come, read from its folder alone; cheap enough for every second. No torch."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from experiments.errors import UserError
from experiments.files.run_folder import RunFolder

Kind = Literal["finished", "diverged", "stuck", "running", "stopped", "failed", "waiting"]
KINDS: tuple[Kind, ...] = (
    "finished",
    "running",
    "waiting",
    "stopped",
    "failed",
    "diverged",
    "stuck",
)


@dataclass(frozen=True)
class RunState:
    """What is known of a run. `None` is unknown.

    `stopped` has a checkpoint and nobody works on it: it goes on when it is started again. `failed`
    ended by itself with an error, and is started again only when asked.
    """

    kind: Kind
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    """Of the last step; NaN where it was not finite."""
    seconds_left: float | None = None
    """Of a running one's training, as fast as its steps so far; evaluations not counted."""
    attempts: int = 0
    """Those that failed, or were killed, since it last finished."""
    reason: str = ""
    """Of the last failure, in one line."""
    seconds: float | None = None
    """What a finished run took, evaluations included where the run knew."""


def state_of(folder: RunFolder) -> RunState:
    """The state of a run, whoever runs it and wherever: only files and the lock are looked at."""
    try:
        summary = folder.summary()
        if summary is not None:
            return _done(summary)
        # The lock before the failure: an attempt that runs now is later than one that failed.
        running = folder.is_locked()
        if not running:
            # It may have ended between the two looks.
            summary = folder.summary()
            if summary is not None:
                return _done(summary)
        return _not_done(folder, running=running)
    except UserError as error:
        return RunState("failed", reason=" ".join(str(error).split()))


def summary_of(folder: RunFolder) -> dict[str, Any] | None:
    """The summary of a run that is done, None for any other.

    Among these is one whose summary is broken: `state_of` says that it failed, and why.
    """
    try:
        return folder.summary()
    except UserError:
        return None


def ended_from_outside(exit_code: int) -> bool:
    """True for an exit code that says: ended from outside, by a signal or by Ctrl-C.

    A shell tells death by signal n as 128 + n, `subprocess` as -n; a run's own Ctrl-C is 130.
    """
    return exit_code < 0 or exit_code > 128


def _done(summary: dict[str, Any]) -> RunState:
    steps = summary.get("steps") or 0
    final = summary.get("final")
    return RunState(
        summary["status"],
        step=steps,
        total_steps=steps,
        loss=_number(final.get("train_loss") if isinstance(final, dict) else None),
        seconds=seconds_of(summary),
    )


def seconds_of(summary: Mapping[str, Any]) -> float | None:
    """What a run that is done took; runs of earlier versions know the time of their steps only."""
    seconds: float | None = summary.get("seconds_total", summary.get("seconds_training"))
    return seconds


def _not_done(folder: RunFolder, *, running: bool) -> RunState:
    broken: list[str] = []
    failure = _readable(folder.failure, broken)
    has_failed = bool(broken) or (
        bool(failure) and not ended_from_outside(failure.get("exit_code", 1))
    )
    plan, row = _readable(folder.plan, broken), _readable(folder.last_step, broken)
    step, total = row.get("step", 0), plan.get("total_steps")
    reason = failure.get("reason") or "; ".join(broken)
    return RunState(
        "running" if running else "failed" if has_failed else _still_to_do(folder),
        step=step,
        total_steps=total,
        loss=_number(row["loss"]) if "loss" in row else None,
        seconds_left=_seconds_left(row, total) if running else None,
        attempts=failure.get("attempts", 0),
        reason=" ".join(reason.split()),
    )


def _readable(read: Callable[[], dict[str, Any] | None], broken: list[str]) -> dict[str, Any]:
    """What a file says; a broken one says nothing but that."""
    try:
        return read() or {}
    except UserError as error:
        broken.append(str(error))
        return {}


def _still_to_do(folder: RunFolder) -> Kind:
    return "stopped" if os.path.exists(folder.checkpoint_file) else "waiting"


def _seconds_left(row: dict[str, Any], total_steps: int | None) -> float | None:
    if total_steps is None or not row.get("step") or row.get("seconds") is None:
        return None
    remaining = max(0, total_steps - row["step"])
    return float(row["seconds"] / row["step"] * remaining)


def _number(value: Any) -> float:
    """JSON has no NaN; files say null for it."""
    return math.nan if value is None else float(value)
