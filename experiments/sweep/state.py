"""How far a run has come, read from its folder alone; cheap enough for every second. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from experiments.errors import UserError
from experiments.run_folder import RunFolder

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
    steps = summary.get("steps", 0)
    final = summary.get("final")
    return RunState(
        summary["status"],
        step=steps,
        total_steps=steps,
        loss=_number(final.get("train_loss") if isinstance(final, dict) else None),
        # Runs of earlier versions say only how long their training took.
        seconds=summary.get("seconds_total", summary.get("seconds_training")),
    )


def _not_done(folder: RunFolder, *, running: bool) -> RunState:
    plan, failure = folder.plan() or {}, folder.failure() or {}
    row = folder.last_step() or {}
    step, total = row.get("step", 0), plan.get("total_steps")
    return RunState(
        _kind(folder, failure, running=running),
        step=step,
        total_steps=total,
        loss=_number(row["loss"]) if "loss" in row else None,
        seconds_left=_seconds_left(row, total) if running else None,
        attempts=failure.get("attempts", 0),
        reason=failure.get("reason", ""),
    )


def _kind(folder: RunFolder, failure: dict[str, Any], *, running: bool) -> Kind:
    if running:
        return "running"
    if failure and not ended_from_outside(failure.get("exit_code", 1)):
        return "failed"
    return "stopped" if folder.checkpoint_file.exists() else "waiting"


def _seconds_left(row: dict[str, Any], total_steps: int | None) -> float | None:
    if total_steps is None or not row.get("step"):
        return None
    remaining = max(0, total_steps - row["step"])
    return float(row["seconds"] / row["step"] * remaining)


def _number(value: Any) -> float:
    """JSON has no NaN; files say null for it."""
    return math.nan if value is None else float(value)
