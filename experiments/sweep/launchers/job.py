"""A run as a process of its own: what to start, and how it ended. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """One process to start. Plain data, so that it can be sent to another machine."""

    name: str
    """For people: `<experiment>/<task>-<model>/<optimizer>/s<seed>-<hash>`."""
    command: tuple[str, ...]
    folder: str
    """The run's folder, absolute; it exists."""
    log_file: str
    """Where standard output and error are appended, absolute."""
    working_directory: str
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that the process has besides its parent's."""


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended. `exit_code` is negative for a signal, as in `subprocess`."""

    exit_code: int
    seconds: float
    reason: str = ""
    """Why there was no process, in one line."""


Ended = Callable[[Job, Outcome], None]
Tick = Callable[[], None]


class Launcher(Protocol):
    """Starts jobs somewhere, several at a time."""

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """Run all jobs to their end, in their order as far as there are free workers.

        `ended` is called once for each job, `tick` about once a second, both in the caller's
        thread. On KeyboardInterrupt no job is started any more, those that run are interrupted,
        which leaves a checkpoint, and the exception goes on when they have ended.
        """
        ...
