"""Starting a job's process, and ending it so that it leaves a checkpoint. No torch."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from experiments.errors import UserError
from experiments.files.atomic import disk
from experiments.sweep.launchers.job import Job, Outcome

_PR_SET_PDEATHSIG = 1


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start a job's process; its output is appended to `job.log_file`, after a line that says when.

    It is in a session of its own, so that a terminal's Ctrl-C reaches only who started it. On Linux
    it gets SIGINT when its parent dies, so that a parent killed by SIGKILL leaves no orphans. The
    kernel means by parent the thread that started it: other threads than the main one often end
    long before their process, so children of those are not tied.

    Raises:
        UserError: if the log cannot be written, or there can be no process.
    """
    environment = {**os.environ, **dict(job.environment)}
    log_file = Path(job.log_file)
    with ExitStack() as stack:
        with disk(log_file):
            log = stack.enter_context(open(log_file, "ab", buffering=0, opener=_without_waiting))
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


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO in the log's place would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def not_started(error: UserError) -> Outcome:
    """The outcome of a job for which `start` raised: that of a process which was refused."""
    return Outcome(error.exit_code, 0.0, reason=str(error))


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to write its checkpoint and to end."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def run_job(job: Job) -> Outcome:
    """Run a job here and wait for its end: what a worker of parsl or a task of SLURM calls.

    SIGINT and SIGTERM, where they have their default action here, are passed on as SIGINT: the
    job writes its checkpoint, and its outcome is returned as always. That works in the main thread
    only, as the signals of a process do. A handler of the caller's own stays; if it raises, the job
    is interrupted and waited for too, and the exception goes on.
    """
    started = time.monotonic()
    with _forwarding() as forward_to:
        try:
            process = start(job)
        except UserError as error:
            return not_started(error)
        forward_to(process)
        try:
            exit_code = process.wait()
        except BaseException:
            interrupt(process)
            process.wait()
            raise
    return Outcome(exit_code, time.monotonic() - started)


@contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Within, signals go to the process that is named to what this yields, also earlier ones."""
    children: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        early.append(number)
        for child in children:
            interrupt(child)

    def forward_to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        if early:
            interrupt(child)

    replaced: dict[signal.Signals, Any] = {}
    if _in_main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                replaced[number] = signal.signal(number, handle)
    try:
        yield forward_to
    finally:
        for number, previous in replaced.items():
            signal.signal(number, previous)


def _preparation() -> Callable[[], None]:
    """What a child does between fork and exec; everything it needs is loaded before."""
    tied = sys.platform == "linux" and _in_main_thread()
    libc = ctypes.CDLL(None) if tied else None
    parent = os.getpid()

    def prepare() -> None:
        # A conductor in the background of a script has SIGINT ignored, which is inherited.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT.value)
            if os.getppid() != parent:  # it died before it could be tied to
                os._exit(128 + signal.SIGINT)

    return prepare


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
