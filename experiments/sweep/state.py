"""How a run stands, read from its folder. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from experiments.run_folder import RunFolder


@dataclass(frozen=True)
class RunState:
    """`kind` is all that a summary can tell: a run without one counts as waiting."""

    kind: Literal["finished", "diverged", "running", "stopped", "failed", "waiting"]


def state_of(folder: RunFolder) -> RunState:
    """The state of the run in `folder`."""
    summary = folder.summary()
    if summary is None:
        return RunState("waiting")
    return RunState("finished" if summary["status"] == "finished" else "diverged")
