"""A command that is killed at random moments and started again until it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.files.run_folder import RunFolder
from tests.experiments.data.locations import REPOSITORY

SEED = int(os.environ.get("SLS_ATTACK_SEED", random.randrange(10**6)))
"""Of the moments; printed with every kill, so that they can be had again."""
KILLS = int(os.environ.get("SLS_ATTACK_KILLS", "3"))
"""Of each case."""
_TIMES = ("seconds", "seconds_training", "seconds_evaluation", "seconds_total")


@dataclass(frozen=True)
class Killed:
    """What became of a command that was killed: kills that met it running, and its last words."""

    kills: int
    output: str


def start(*words: str) -> subprocess.Popen[str]:
    """One of the repository's commands, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def whole(*words: str) -> float:
    """Run a command undisturbed; returns the seconds that it took."""
    begun = time.monotonic()
    process = start(*words)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return time.monotonic() - begun


def killed_and_started_again(*words: str, seconds: float, draw: random.Random) -> Killed:
    """Kill a command `KILLS` times, each at a random moment of the `seconds` that it takes.

    A kill goes to the whole process group, as that of a machine that goes down.
    """
    kills = 0
    for _ in range(KILLS):
        process = start(*words)
        moment = draw.uniform(0, seconds)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
        else:
            break
    process = start(*words)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return Killed(kills, output)


def run_folders(results: Path) -> list[RunFolder]:
    """The runs below a folder of results."""
    return [RunFolder(path) for path in sorted(results.glob("*/*/*/s*-*"))]


def without_times(value: Any) -> Any:
    """The value without the seconds that things took."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in _TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def differences(one: Any, other: Any, where: str) -> list[str]:
    """Where two values differ, to the last bit of their tensors."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: keys {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [d for key in one for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} entries"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    same = one == other or (one != one and other != other)
    return [] if same else [f"{where}: {one!r} and {other!r}"]


def runs_differ(one: RunFolder, other: RunFolder) -> list[str]:
    """Where two runs differ: parameters, moments, rows, best parameters and summary."""
    found = differences(without_times(one.rows()), without_times(other.rows()), "metrics")
    found += differences(without_times(one.summary()), without_times(other.summary()), "summary")
    found += differences(_saved(one.checkpoint_file), _saved(other.checkpoint_file), "checkpoint")
    return found + differences(_saved(one.best_file), _saved(other.best_file), "best")


def _saved(path: Path) -> Any:
    state = torch.load(path, weights_only=True)
    if isinstance(state, dict):
        # The digits of the seconds differ in number, and so do lengths and checksums over them.
        state = {k: v for k, v in state.items() if k not in ("metrics_length", "checksum")}
    return without_times(state)
