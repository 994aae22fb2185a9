"""Several processes for tests: torchrun on this machine, and what its workers do.

`python -m torch.distributed.run … several.py <folder>` runs `CASES` in both of its processes and
leaves `<folder>/<case>-<rank>.pt`, the model of each, beside the folders of the runs. With a second
argument it is `main.py` whose step goes wrong in the second process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments import stopping
from experiments.cli.main import main
from experiments.config.compose import load
from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.run import run_among
from experiments.stopping import unwinding
from experiments.torchrun import place
from experiments.training.closure import BatchClosure
from experiments.training.loggers.base import Logger
from experiments.training.loop import Training, take_step
from experiments.training.processes import joined

REPOSITORY = Path(__file__).resolve().parents[2]


def changed(arguments: list[str], *changes: str) -> list[str]:
    """The arguments with some of them in place of those of the same key."""
    by_key = {word.partition("=")[0]: word for word in (*arguments, *changes)}
    return list(by_key.values())


# Seconds for one call of torchrun, which takes ten on a machine with nothing else to do.
LIMIT = 600.0

SMALL = ["task=digits", "device=cpu", "trainer.epochs=2", "logger.console=false"]
VIT = ["model=vit", "model.width=16", "model.layers=1", "model.heads=2"]
DROPOUT = [*SMALL, *VIT, "model.dropout=0.1", "trainer.max_steps=12", "trainer.eval_every_steps=6"]
# The last of an epoch's five batches has one example, too few for two processes.
UNEVEN = [*SMALL, *VIT, "model.dropout=0", "trainer.batch_size=359", "trainer.micro_batches=3"]
BRIEF = [*changed(SMALL, "trainer.epochs=1"), "model.width=4"]
CASES = {
    "adam": [*UNEVEN, "optimizer=adam"],
    "peak_sls": [*UNEVEN, "optimizer=peak_sls"],
    "alsals": [*UNEVEN, "optimizer=alsals"],
    "momo_adam": [*UNEVEN, "optimizer=momo_adam"],
    "batch_norm": [*BRIEF, "optimizer=salsa"],
    "averaged": [*BRIEF, "optimizer=peak_sls_averaged"],
    "whole": [*DROPOUT, "optimizer=alsals"],
    "broken": [*DROPOUT, "optimizer=alsals"],
}


def config_of(case: str, folder: Path) -> RunConfig:
    """The config of a case; its run is below `folder`."""
    return load([*CASES[case], f"results_dir={folder / case}"], environ={})


def torchrun(*arguments: str, processes: int = 2, **options: object) -> subprocess.Popen[str]:
    """Start torchrun with the arguments of a script; `outcome_of` waits for its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), *arguments]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environ, text=True, **pipes, **options)


def outcome_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What torchrun and its processes have printed on both streams, once they have ended."""
    try:
        return process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            process.terminate()  # it ends the others
            process.communicate(timeout=LIMIT)


def lines_of(stderr: str) -> list[str]:
    """What the processes themselves have written on standard error, without torchrun's report."""
    start = 'Traceback (most recent call last):\n  File "<frozen runpy>"'
    own = stderr.partition(start)[0].splitlines()
    return [line for line in own if "torch/distributed/" not in line and line.strip("* ")]


class Broken:
    """A step that goes wrong in the second process alone, in step 8 of this process's steps."""

    def __init__(self, how: str) -> None:
        self.how = how
        self._steps = 0

    def __call__(self, optimizer: torch.optim.Optimizer, closure: BatchClosure) -> float:
        self._steps += 1
        if place().rank == 1 and self._steps == 8:
            match self.how:
                case "ctrl-c":
                    signal.raise_signal(signal.SIGINT)
                case "killed":
                    signal.raise_signal(signal.SIGKILL)
                case "refused":
                    raise UserError("a picture is broken here")
                case "bug":
                    raise RuntimeError("a fault of this process alone")
        return take_step(optimizer, closure)


def run_cases(folder: Path) -> None:
    """Make the runs of all cases; Ctrl-C comes once in the case `broken`, which then resumes."""
    train = Training.run
    case, broken = "", Broken("ctrl-c")

    def run(self: Training, log: Logger) -> None:
        if case == "broken":
            self.take_step = broken
        train(self, log)
        rank = self.processes.part.rank
        torch.save(self.task.model.state_dict(), folder / f"{case}-{rank}.pt")

    Training.run = run  # type: ignore[method-assign]
    with unwinding(), joined() as processes:
        for case in CASES:
            if case == "broken":
                with pytest.raises(KeyboardInterrupt):
                    run_among(processes, config_of(case, folder))
            run_among(processes, config_of(case, folder))


def run_broken(folder: Path, how: str) -> None:
    """`main.py` with the case `whole`, which breaks."""
    train = Training.run

    def run(self: Training, log: Logger) -> None:
        self.take_step = Broken(how)
        train(self, log)

    Training.run = run  # type: ignore[method-assign]
    stopping.install()
    stopping.leave(lambda: main([*CASES["whole"], f"results_dir={folder}"]))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run_broken(Path(sys.argv[1]), sys.argv[2])  # does not return
    run_cases(Path(sys.argv[1]))
