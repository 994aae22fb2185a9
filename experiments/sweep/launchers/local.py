"""Processes on this machine, a few at a time, each with a GPU where there are several."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.errors import UserError
from experiments.sweep.launchers.process import (
    Ended,
    Job,
    Outcome,
    Tick,
    interrupt,
    not_started,
    start,
)

_POLL_SECONDS = 0.1
_TICK_SECONDS = 1.0


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that a process started here would see, named as in CUDA_VISIBLE_DEVICES."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        # CUDA reads the list up to the first name that is none.
        end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return tuple(names[:end])
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    answer = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return tuple(map(str, range(count))) if answer.returncode == 0 else ()


class LocalLauncher:
    """Runs at most `workers` jobs at a time, from one thread.

    With several `gpus` (names for CUDA_VISIBLE_DEVICES) each job sees one of them, the one with
    the fewest jobs; `workers` is their number unless given, else 1. Several workers share the
    cores, unless OMP_NUM_THREADS is set. Ctrl-C interrupts the jobs that run and waits for their
    checkpoints; a second one kills them.
    """

    def __init__(self, workers: int | None = None, gpus: Sequence[str] = ()) -> None:
        self.workers = max(1, len(gpus)) if workers is None else workers
        if self.workers < 1:
            raise ValueError(f"workers is {workers}, must be at least 1")
        self._gpus = gpus if len(gpus) > 1 else ()

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`."""
        waiting = deque(jobs)
        running: list[_Running] = []
        next_tick = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    try:
                        running.append(self._start(job, running))
                    except UserError as error:
                        ended(job, not_started(error))
                time.sleep(_POLL_SECONDS)
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    seconds = time.monotonic() - one.started
                    ended(one.job, Outcome(one.process.returncode, seconds))
                if time.monotonic() >= next_tick:
                    tick()
                    next_tick = time.monotonic() + _TICK_SECONDS
        except BaseException:  # whatever it was, no process is left behind
            _end([one.process for one in running])
            raise

    def _start(self, job: Job, running: Sequence[_Running]) -> _Running:
        environment = dict(job.environment)
        if self.workers > 1 and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, _cores() // self.workers))
        taken = [one.gpu for one in running]
        gpu = min(self._gpus, key=taken.count, default=None)
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        process = start(replace(job, environment=tuple(environment.items())))
        return _Running(job, process, time.monotonic(), gpu)


@dataclass(frozen=True, eq=False)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    started: float
    gpu: str | None


def _cores() -> int:
    """The cores that this process may use; a scheduler may have reduced them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
