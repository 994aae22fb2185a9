"""The results of a folder as data: its runs, what was planned, and one table with a row per run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from experiments.tuning import Decider

Stage = Literal["tuning", "comparison", "other"]
Status = Literal["finished", "diverged", "stuck", "unfinished"]

STEP_COLUMNS = (
    "step",
    "epoch",
    "seconds",
    "forward_passes",
    "backward_passes",
    "loss",
    "step_size",
    "factor",
    "trials",
)

_FIRST_COLUMNS = (
    *("stage", "row", "label", "optimizer", "seed", "hash", "status", "folder"),
    *("score", "score_is_loss"),
)
_VERSIONS = ("sls", "torch", "torchvision", "transformers", "numpy", "python", "device_name")


@dataclass(frozen=True)
class RunRecord:
    """One run. Numbers that are missing or were not finite are NaN."""

    folder: Path
    stage: Stage
    """`tuning`: below `tuning/`, or with examples held out; `comparison`: planned; `other`."""
    row: str
    """The row of the comparison: the experiment, or `<task>-<model>` where there is none."""
    label: str
    """The column of the comparison: the optimizer's name, or the sweep's label for it."""
    optimizer: str
    """The optimizer's `kind`, as in the config: `alsals`, `adam`, …"""
    seed: int
    hash: str
    status: Status
    config: Mapping[str, Any]
    env: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    score: str
    """The metric that decides which evaluation is best: `accuracy`, `mcc`, `val_loss`, …"""
    score_is_loss: bool
    steps: pd.DataFrame
    """`STEP_COLUMNS`, one row per training step."""
    evaluations: pd.DataFrame
    """step, epoch, seconds, forward_passes, train_loss (the mean over the steps since the
    evaluation before), val_loss and the task's metrics."""
    reference: bool = False
    """A run of the tuning stage whose own rate is not tuned; tuned rates are compared with it."""

    @property
    def version(self) -> tuple[str, str, str, str]:
        """Commit, torch, python and device."""
        git = self.env.get("git") or {}
        changes = " with uncommitted changes" if git.get("dirty") else ""
        torch, python, device = (
            self.env.get(name) or "unknown" for name in ("torch", "python", "device_name")
        )
        return f"{(git.get('commit') or 'unknown')[:7]}{changes}", torch, python, device


@dataclass(frozen=True)
class PlannedCell:
    """The runs that a sweep planned for one row and label."""

    row: str
    label: str
    optimizer: str
    seeds: tuple[int, ...]
    tuned: bool = False
    target: float | None = None
    """The validation score that a run of the row should reach, where the sweep fixed one."""


@dataclass(frozen=True)
class Results:
    """All runs below a folder, and what was planned; `warnings` are sentences."""

    folder: Path
    runs: tuple[RunRecord, ...]
    planned: tuple[PlannedCell, ...]
    """In the order of the tables; empty where no sweep left a plan."""
    warnings: tuple[str, ...]
    tuned_by: Mapping[str, Decider] = field(default_factory=dict)
    """The number that decides between the rates of a row: its score, where none is given."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per run, sorted by folder, with the columns of `runs.csv`; indexed as `runs`."""
        order = sorted(range(len(self.runs)), key=lambda i: self.runs[i].folder)
        rows = [_table_row(self.runs[i], self.folder) for i in order]
        columns = dict.fromkeys([*_FIRST_COLUMNS, *sorted({key for row in rows for key in row})])
        # Columns of objects: integers stay integers, and text may hold any bytes of a file's name.
        return pd.DataFrame(rows, order, list(columns), dtype=object)


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"final.accuracy": 0.8, …}` for nested mappings."""
    items: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            items |= flat(value, f"{prefix}{key}.")
        else:
            items[f"{prefix}{key}"] = value
    return items


def _table_row(run: RunRecord, root: Path) -> dict[str, Any]:
    row = flat(run.summary or {}) | {name: getattr(run, name) for name in _FIRST_COLUMNS}
    row["folder"] = run.folder.relative_to(root).as_posix()
    row["settings"] = json.dumps(run.config["optimizer"], sort_keys=True)
    if len(run.steps):
        last = run.steps.iloc[-1]
        row |= {f"last.{name}": last[name] for name in ("epoch", "seconds", "loss")}
        row["last.step"] = int(last["step"])
    git = run.env.get("git") or {}
    row |= {"commit": git.get("commit"), "commit_dirty": git.get("dirty")}
    return row | {f"version.{name}": run.env.get(name) for name in _VERSIONS}
