"""Processes on this machine, a few at a time, each with a GPU where there are several."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from experiments.errors import UserError
from experiments.sweep.launchers.process import Ended, Job, Outcome, Tick, start

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
        self._gpus = gpus if len(gpus) > 1 else ()

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """See `Launcher`."""
        waiting = deque(jobs)
        running: dict[subprocess.Popen[bytes], tuple[Job, str | None]] = {}
        next_tick = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.popleft()
                    taken = [gpu for _, gpu in running.values()]
                    gpu = min(self._gpus, key=taken.count, default=None)
                    try:
                        running[self._start(job, gpu)] = (job, gpu)
                    except UserError as error:
                        ended(job, Outcome(error.exit_code, str(error)))
                time.sleep(_POLL_SECONDS)
                for process in [one for one in running if one.poll() is not None]:
                    job, _ = running.pop(process)
                    ended(job, Outcome(process.returncode))
                if time.monotonic() >= next_tick:
                    tick()
                    next_tick = time.monotonic() + _TICK_SECONDS
        except BaseException:  # whatever it was, no process is left behind
            _end(list(running))
            raise

    def _start(self, job: Job, gpu: str | None) -> subprocess.Popen[bytes]:
        environment = dict(job.environment)
        if self.workers > 1 and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, _cores() // self.workers))
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        return start(replace(job, environment=tuple(environment.items())))


def _cores() -> int:
    """The cores that this process may use; a scheduler may have reduced them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Interrupt all and wait; if that is interrupted, kill them."""
    try:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
