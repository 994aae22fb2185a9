"""Processes on this machine, a few at a time."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Sequence

from experiments.errors import UserError
from experiments.sweep.launchers.job import Ended, Job, Outcome, Tick
from experiments.sweep.launchers.process import interrupt, not_started, start

_POLL_SECONDS = 0.1
_TICK_SECONDS = 1.0


class LocalLauncher:
    """Runs at most `workers` jobs at a time, from one thread.

    Ctrl-C interrupts the jobs that run and waits for their checkpoints; a second one kills them.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, must be at least 1")
        self.workers = workers

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """As `Launcher.launch`."""
        waiting = deque(jobs)
        running: list[_Running] = []
        next_tick = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    try:
                        running.append(_Running(job))
                    except UserError as error:
                        ended(job, not_started(error))
                time.sleep(_POLL_SECONDS)
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    ended(one.job, one.outcome())
                if time.monotonic() >= next_tick:
                    tick()
                    next_tick = time.monotonic() + _TICK_SECONDS
        except BaseException:  # whatever it was, no process is left behind
            _end([one.process for one in running])
            raise


class _Running:
    """A job whose process was started."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.started = time.monotonic()
        self.process = start(job)

    def outcome(self) -> Outcome:
        return Outcome(self.process.returncode, time.monotonic() - self.started)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Interrupt all and wait; if that is interrupted, kill them."""
    try:
        for process in processes:
            interrupt(process)
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
