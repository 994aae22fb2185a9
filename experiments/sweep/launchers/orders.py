"""How a launcher stops jobs that other processes run, here or on another machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from experiments.sweep.launchers.job import Job, Outcome
from experiments.sweep.launchers.process import run_job

PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
"""What a worker's PYTHONPATH needs, so that it can unpickle a job."""

# Exit codes of a process that left on SIGINT: by the signal itself, and as shells and main.py say.
_INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)
_LOOK_EVERY = 0.5


class Orders:
    """A file that tells workers to stop.

    A file and not a signal: it reaches a worker that is just starting as surely as one that
    works, on this machine or another, and each job exactly once, where a second SIGINT would
    end it before its checkpoint. The file is there from the start and only its content changes,
    since a network file system looks at an opened file anew, but may remember for a minute that
    there was none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text("go")

    def stop(self) -> None:
        """Order every worker to interrupt its job and to start no other."""
        self._path.write_text("stop")

    def stopped(self) -> bool:
        """Whether the order to stop was given."""
        try:
            return self._path.read_text() == "stop"
        except OSError:
            return False


def was_interrupted(outcome: Outcome) -> bool:
    """Whether the job's process left because of SIGINT."""
    return outcome.exit_code in _INTERRUPTED


def run_until(job: Job, stop: Callable[[], bool]) -> Outcome | None:
    """`run_job`, interrupted as soon as `stop()` is true or at SIGTERM.

    Returns None if `stop()` is true from the start.

    To be called in the main thread of a process of its own, which `run_job` is interrupted by:
    the process sends SIGINT to itself, and `run_job` passes it to the job and waits.
    """
    if stop():
        return None
    began = time.monotonic()
    outcome = None
    try:
        with _interrupted_when(stop):
            outcome = run_job(job)
    except KeyboardInterrupt:
        # It may also have come in the moment between the job's end and the watch's.
        if outcome is None:
            outcome = Outcome(-signal.SIGINT, time.monotonic() - began)
    return outcome


@contextmanager
def _interrupted_when(stop: Callable[[], bool]) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY):
            if stop():
                os.kill(os.getpid(), signal.SIGINT)
                return

    def interrupt(number: int, frame: FrameType | None) -> None:
        # One is enough: SLURM says it to several processes, and each passes it on.
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    # SIGTERM too: it announces an end that would come without a checkpoint. SIGINT, since a
    # worker that a shell started in the background has inherited to ignore it.
    previous = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in previous:
        signal.signal(each, interrupt)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        for each, handler in previous.items():
            signal.signal(each, handler)


def note(job: Job, text: str) -> None:
    """Append a line to the job's log, from which a failure is explained, if it can be written."""
    with suppress(OSError), Path(job.log_file).open("a", encoding="utf-8") as log:
        log.write(f"{text}\n")
