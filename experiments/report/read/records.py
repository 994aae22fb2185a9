"""What the report knows of a run, as data: read once by `reading`, used by everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class RunRecord:
    """One run. Numbers that were not finite are NaN; columns that a run has not are NaN too."""

    folder: Path
    stage: Stage
    """`tuning`: below `tuning/`, or with examples held out; `comparison`: planned; `other`."""
    row: str
    """The row of the tables: the experiment's name, or `<task>-<model>` where there is none."""
    label: str
    """The column of the tables: the optimizer's name, or the label that the sweep gave it."""
    optimizer: str
    """The optimizer's `kind`, as in the config: `alsals`, `adam`, …"""
    seed: int
    hash: str
    status: Status
    config: Mapping[str, Any]
    env: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    score: str
    """The metric of evaluations that decides which is best: `accuracy`, `mcc`, `val_loss`, …"""
    score_is_loss: bool
    steps: pd.DataFrame
    """`STEP_COLUMNS`, a row a training step."""
    evaluations: pd.DataFrame
    """step, epoch, seconds, forward_passes, train_loss, val_loss and the task's metrics.

    `train_loss` is the mean over the steps since the evaluation before.
    """
    reference: bool = False
    """Of the tuning stage, to compare tuned rates with; its own rate is not tuned."""


@dataclass(frozen=True)
class PlannedCell:
    """What a sweep meant to run for one row and label."""

    row: str
    label: str
    optimizer: str
    seeds: tuple[int, ...]
    tuned: bool = False
    """Tuning was to choose its rate."""


@dataclass(frozen=True)
class Results:
    """All runs below a folder, and what was planned; `warnings` in plain sentences."""

    folder: Path
    runs: tuple[RunRecord, ...]
    planned: tuple[PlannedCell, ...]
    """In the order of the tables; empty where no sweep left a plan."""
    warnings: tuple[str, ...]
    tuned_by: Mapping[str, Decider] = field(default_factory=dict)
    """What decides between the rates of a row; a row that is not here has its score."""
