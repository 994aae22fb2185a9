"""Sweeps for tests: files beside the shipped ones, and summaries of runs that never ran."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from experiments.config.yaml_files import CONFIG_ROOT, dump
from experiments.sweep.plan import PlannedRun, Sweep, load_sweep

DIGITS = {"task": "digits", "model": "resnet", "settings": {"trainer.epochs": 2}}


def copy_config(folder: Path) -> Path:
    """The shipped config in a folder of its own, to add sweeps to."""
    return Path(shutil.copytree(CONFIG_ROOT, folder / "config"))


def make_sweep(root: Path, *arguments: str, **values: Any) -> Sweep:
    """A sweep over digits, with `values` instead of what its file says."""
    file: dict[str, Any] = {
        "results_dir": str(root.parent / "results"),
        "tasks": [DIGITS],
        "optimizers": ["alsals", "adam"],
        "seeds": [0, 1],
    }
    (root / "sweep" / "mine.yaml").write_text(dump(file | values))
    return load_sweep("mine", "text", arguments, root, environ={})


def end(run: PlannedRun, *, score: float, seconds: float = 10.0, **values: Any) -> None:
    """Leave the summary of a run that ended."""
    summary = {
        "status": "finished",
        "steps": 46,
        "seconds_training": seconds,
        "score": "accuracy",
        "score_is_loss": False,
        "final": {"val_loss": 1.0, "accuracy": score},
    }
    run.folder.create()
    run.folder.write_summary(summary | values)
