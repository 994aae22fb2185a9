"""Real runs, small enough for tests: an MLP-sized Transformer on the digits, a few steps."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.config.compose import load, run_path
from experiments.files.run_folder import RunFolder

REPOSITORY = Path(__file__).resolve().parents[3]
TINY = (
    "task=digits",
    "model=vit",
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.dropout=0.1",
    "device=cpu",
    "trainer.max_steps=30",
    "trainer.checkpoint_every_steps=7",
)


@dataclass(frozen=True)
class Run:
    """What the plan has for each run."""

    arguments: tuple[str, ...]
    folder: RunFolder


def make_run(results: Path, *arguments: str) -> Run:
    """A tiny run whose `arguments` win."""
    given = {argument.partition("=")[0] for argument in arguments}
    tiny = [argument for argument in TINY if argument.partition("=")[0] not in given]
    words = (*tiny, f"results_dir={results}", *arguments)
    return Run(words, RunFolder(run_path(load(words, environ={}))))


def endless(results: Path, *arguments: str) -> Run:
    """A run that lasts until it is ended, with a checkpoint every seven steps."""
    return make_run(results, "trainer.epochs=100000", "trainer.max_steps=1000000", *arguments)


def wait_for_step(folder: RunFolder, step: int, seconds: float = 200.0) -> None:
    """Until the row of a step, or of a later one, is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        row = folder.last_step()
        if row is not None and row["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"{folder.path} has not come to step {step} in {seconds} s")


def wait_until_free(folder: RunFolder, seconds: float = 120.0) -> None:
    """Until nobody works in the folder any more."""
    end = time.monotonic() + seconds
    while folder.is_locked():
        assert time.monotonic() < end, f"{folder.path} is still in use after {seconds} s"
        time.sleep(0.05)


HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from experiments.files.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def held(folder: RunFolder) -> Iterator[subprocess.Popen[bytes]]:
    """Within, another process works in the folder, unless it is killed before."""
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder
        holder.kill()


def numbers_of(folder: RunFolder) -> list[dict]:
    """All rows but their times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in folder.rows()]


def output_of(folder: RunFolder) -> str:
    """What the run's processes printed, to show where a test fails."""
    with contextlib.suppress(FileNotFoundError):
        return folder.output_file.read_text()
    return "(no output)"
