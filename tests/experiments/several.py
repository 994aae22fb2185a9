"""Several processes for tests: torchrun on this machine, and what its workers do.

`python -m torch.distributed.run … several.py <folder>` runs `CASES` in both of its processes and
leaves `<folder>/<case>-<rank>.pt`, the model of each, beside the folders of the runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from experiments.config.compose import load
from experiments.config.schema import RunConfig
from experiments.run import run_among
from experiments.stopping import unwinding
from experiments.training import loop
from experiments.training.loop import Training
from experiments.training.processes import joined

REPOSITORY = Path(__file__).resolve().parents[2]

SMALL = ["task=digits", "device=cpu", "trainer.epochs=2", "logger.console=false"]
VIT = ["model=vit", "model.width=16", "model.layers=1", "model.heads=2"]
DROPOUT = [*SMALL, *VIT, "model.dropout=0.1", "trainer.max_steps=12", "trainer.eval_every_steps=6"]
# The last of an epoch's five batches has one example, too few for two processes.
UNEVEN = [*SMALL, *VIT, "model.dropout=0", "trainer.batch_size=359", "trainer.micro_batches=3"]
CASES = {
    "adam": [*UNEVEN, "optimizer=adam"],
    "peak_sls": [*UNEVEN, "optimizer=peak_sls"],
    "alsals": [*UNEVEN, "optimizer=alsals"],
    "momo_adam": [*UNEVEN, "optimizer=momo_adam"],
    "batch_norm": [*SMALL, "model.width=4", "optimizer=salsa"],
    "averaged": [*SMALL, "model.width=4", "optimizer=peak_sls_averaged"],
    "whole": [*DROPOUT, "optimizer=alsals"],
    "broken": [*DROPOUT, "optimizer=alsals"],
}


def changed(arguments: list[str], *changes: str) -> list[str]:
    """The arguments with some of them in place of those of the same key."""
    by_key = {word.partition("=")[0]: word for word in (*arguments, *changes)}
    return list(by_key.values())


def config_of(case: str, folder: Path) -> RunConfig:
    """The config of a case; its run is below `folder`."""
    return load([*CASES[case], f"results_dir={folder / case}"], environ={})


def torchrun(*arguments: str, processes: int = 2, **options: object) -> subprocess.Popen[str]:
    """Start torchrun with the arguments of a script; its output is read by `communicate`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), *arguments]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environ, text=True, **pipes, **options)


def lines_of(stderr: str) -> list[str]:
    """What the processes themselves have written on standard error, without torchrun's report."""
    start = 'Traceback (most recent call last):\n  File "<frozen runpy>"'
    own = stderr.partition(start)[0].splitlines()
    return [line for line in own if "torch/distributed/" not in line and line.strip("* ")]


def _interrupt_one(case: str, rank: int) -> None:
    """Let Ctrl-C come in the second process alone, in step 8 of the case `broken`."""
    steps = iter(range(1, 1_000))

    def take_step(optimizer, closure):  # type: ignore[no-untyped-def]
        if (case, rank, next(steps)) == ("broken", 1, 8):
            signal.raise_signal(signal.SIGINT)
        return loop.take_step(optimizer, closure)

    Training.take_step = staticmethod(take_step)


def main(folder: Path) -> None:
    train = Training.run
    case = ""

    def run(self, log):  # type: ignore[no-untyped-def]
        train(self, log)
        rank = self.processes.part.rank
        torch.save(self.task.model.state_dict(), folder / f"{case}-{rank}.pt")

    Training.run = run  # type: ignore[method-assign]
    with unwinding(), joined() as processes:
        for case in CASES:
            _interrupt_one(case, processes.part.rank)
            try:
                run_among(processes, config_of(case, folder))
            except KeyboardInterrupt:
                run_among(processes, config_of(case, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
