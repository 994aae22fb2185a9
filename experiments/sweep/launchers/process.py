"""A run as a process: its start, its end, and an interrupt that leaves a checkpoint. No torch."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from experiments.errors import UserError
from experiments.files.atomic import disk

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Job:
    """One process to start. Plain data, so that it can be sent to another machine."""

    command: tuple[str, ...]
    log_file: str
    """Where standard output and error are appended, absolute; its folder exists."""
    working_directory: str
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that the process has besides its parent's."""


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended. `exit_code` is negative for a signal, as in `subprocess`."""

    exit_code: int
    reason: str = ""
    """Why there was no process, in one line."""

    @property
    def was_interrupted(self) -> bool:
        """Whether the process left because of SIGINT: by the signal itself, or as main.py does."""
        return self.exit_code in (-signal.SIGINT, 128 + signal.SIGINT)


Ended = Callable[[Job, Outcome], None]
Tick = Callable[[], None]


class Launcher(Protocol):
    """Starts jobs somewhere, several at a time."""

    @property
    def workers(self) -> int | None:
        """How many jobs run at a time; None: as many as there is room for."""

    def launch(self, jobs: Sequence[Job], *, ended: Ended, tick: Tick) -> None:
        """Run all jobs to their end, in their order as far as there are free workers.

        `ended` is called once for each job, `tick` about once a second, both in the caller's
        thread. On KeyboardInterrupt no further job is started, running jobs are interrupted, which
        leaves a checkpoint, and the exception continues when they have ended.
        """


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start a job's process; its output is appended to `job.log_file`, after a line with the time.

    It is in a session of its own, so that a terminal's Ctrl-C reaches only its parent. On Linux
    it gets SIGINT when its parent dies, so that a parent killed by SIGKILL leaves no orphans. The
    kernel means by parent the thread that started it: other threads than the main one often end
    long before their process, so children of those are not tied. Raises `UserError` if the log
    cannot be written, or the process cannot be started.
    """
    # Unbuffered: a process that is killed has written its last lines.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **dict(job.environment)}

    def without_waiting(path: str, flags: int) -> int:
        """Open without waiting for a reader, should a FIFO be in the log's place."""
        return os.open(path, flags | os.O_NONBLOCK, 0o666)

    with disk(Path(job.log_file)), open(job.log_file, "ab", 0, opener=without_waiting) as log:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        command = " ".join(shlex.join(job.command).split())
        log.write(f"--- started {now}: {command}\n".encode())
        with disk(Path(job.command[0])):
            return subprocess.Popen(  # noqa: S603
                job.command,
                cwd=job.working_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_preparation(),
            )


def _preparation() -> Callable[[], None]:
    """What a child does between fork and exec; everything it needs is loaded before."""
    tied = sys.platform == "linux" and _in_main_thread()
    libc = ctypes.CDLL(None) if tied else None
    parent = os.getpid()

    def prepare() -> None:
        # Both are inherited: a conductor in the background of a script has SIGINT ignored, a
        # worker of Ray has it blocked.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT.value)
            if os.getppid() != parent:  # it died before it could be tied to
                os._exit(128 + signal.SIGINT)

    return prepare


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def run_job(job: Job, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Run a job here and wait for its end; called in a task of SLURM or Ray.

    The job is interrupted, once, when `stop()` becomes true, and in the main thread by SIGINT and
    SIGTERM, which announces an end that would come without a checkpoint. Then its outcome is
    returned as always. If another signal's handler raises, the job is interrupted and waited for
    too, and the exception continues.
    """
    interrupted = False
    with _signals_noted() as signals:
        try:
            process = start(job)
        except UserError as error:
            return Outcome(error.exit_code, str(error))
        try:
            # Not `wait`, which Ray's way to interrupt a task does not end.
            while process.poll() is None:
                if not interrupted and (signals or stop()):
                    # Once: SLURM signals several processes, and each passes it on.
                    interrupted = True
                    process.send_signal(signal.SIGINT)
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    return Outcome(process.returncode)


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Within, SIGINT and SIGTERM are only appended to the list."""
    signals: list[int] = []
    replaced = {}
    if _in_main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            replaced[number] = signal.signal(number, lambda number, _: signals.append(number))
    try:
        yield signals
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)


def note(job: Job, text: str) -> None:
    """Append a line to the job's log, from which a failure is explained, if it can be written."""
    with suppress(OSError), Path(job.log_file).open("a", encoding="utf-8") as log:
        log.write(f"{text}\n")
