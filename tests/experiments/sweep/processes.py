"""Jobs for tests of launchers: real processes that are short, and Ctrl-C for a conductor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.sweep.launchers.process import Job, Outcome

ROOT = Path(__file__).resolve().parents[3]

# Stands for main.py: SIGINT makes it leave a checkpoint and exit with 130, as Ctrl-C does there,
# and with a checkpoint it has only the rest to do.
RESUMABLE = """
import os, signal, sys, time
from pathlib import Path
if Path("checkpoint").exists():
    print("resumed", flush=True)
    sys.exit(0)
def leave(number, frame):
    with open("checkpoint", "a") as file:
        file.write("whole\\n")
    sys.exit(130)
signal.signal(signal.SIGINT, leave)
print("began", flush=True)
Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def job(folder: Path, code: str, environment: tuple[tuple[str, str], ...] = ()) -> Job:
    """A job that runs Python code in a folder of its own, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-c", code)
    return Job(command, str(folder / "output.log"), str(folder), environment)


def said(folder: Path) -> list[str]:
    """The output of a job without the lines that say when a process started."""
    log = folder / "output.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if not line.startswith("--- started ")]


class Record:
    """What a launcher told: how each job ended, in which order, and how often it ticked."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.ticks = 0

    def ended(self, job: Job, outcome: Outcome) -> None:
        name = Path(job.log_file).parent.name
        assert name not in self.outcomes, f"{name} ended twice"
        self.outcomes[name] = outcome

    def tick(self) -> None:
        self.ticks += 1

    def exit_codes(self) -> dict[str, int]:
        return {name: outcome.exit_code for name, outcome in self.outcomes.items()}


def wait_for(what: Callable[[], object], *, seconds: float = 200) -> None:
    """Wait until `what()` is true.

    Raises:
        TimeoutError: if it is not after so many seconds.
    """
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.1)


def interrupted_conductor(
    launcher: str, folder: Path, *, jobs: int, running: int
) -> subprocess.CompletedProcess[str]:
    """Launch RESUMABLE jobs in a process of its own and press Ctrl-C when `running` of them run.

    `launcher` is Python that makes one, with `scratch` as a name for its folder. SIGINT goes to
    the whole process group, as a terminal sends it.
    """
    code = f"""
import signal, sys
from pathlib import Path
from tests.experiments.sweep.processes import RESUMABLE, Record, job

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
scratch = folder / "scratch"
{launcher}
record = Record()
jobs = [job(folder / str(number), RESUMABLE) for number in range({jobs})]
try:
    launcher.launch(jobs, ended=record.ended, tick=record.tick)
except KeyboardInterrupt:
    print("interrupted", record.exit_codes())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        wait_for(lambda: process.poll() is not None or len(list(folder.glob("*/pid"))) >= running)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=200)
    finally:
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
