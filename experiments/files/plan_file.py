"""A sweep's plan, `<results_dir>/plans/<sweep>.json`: its keys, written and read. No torch.

`docs/files.md` describes the keys. Readers rely on the types; other keys are free.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from experiments.errors import UserError
from experiments.files.atomic import DiskError, atomic_file, disk
from experiments.files.reading import read_model
from experiments.files.run_folder import json_text
from experiments.files.shapes import Name, Stored
from experiments.tuning import Decider


def _is_below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or len(folder) > 4000:
        raise ValueError("must be a path below the folder of the results")
    return folder


Folder = Annotated[str, AfterValidator(_is_below)]
"""Relative to the folder of the results."""


class PlanCell(Stored):
    """A row and a column of the tables: one folder per seed."""

    row: Name
    label: Name
    optimizer: Name = ""
    task: Name | None = None
    model: Name | None = None
    experiment: Name | None = None
    seeds: list[int]
    folders: list[Folder | None]
    """None while the rate is unknown."""
    tuned: bool = False

    @model_validator(mode="after")
    def _one_folder_per_seed(self) -> PlanCell:
        if len(self.seeds) != len(self.folders):
            raise ValueError(f"{len(self.seeds)} seeds, but {len(self.folders)} folders")
        return self


class PlanTuningRun(Stored):
    """A run that tries a rate, or a reference run, which has none."""

    row: Name
    label: Name
    optimizer: Name = ""
    lr: float | None = None
    seed: int = 0
    folder: Folder
    reference: bool = False


class PlanTunedBy(Stored):
    """The number that decides between rates, and the share of examples held out for it."""

    score: Decider
    hold_out: float | None = None


class PlanWinner(Stored):
    """The rate that tuning chose for a cell, by which score, and what the choice has cost."""

    row: Name
    label: Name
    lr: float
    score: float
    score_name: Name
    runs: int
    steps: int


class SweepPlan(Stored):
    """The whole file."""

    sweep: Name
    cells: list[PlanCell]
    tuning: list[PlanTuningRun] = Field(default_factory=list)
    targets: dict[str, FiniteFloat] = Field(default_factory=dict)
    """By row: the validation score that was fixed before the comparison."""
    tuned_by: PlanTunedBy | None = None
    winners: list[PlanWinner] = Field(default_factory=list)


def plan_files(results_dir: Path) -> list[Path]:
    """The plans of a folder, in the order of their names."""
    return sorted((results_dir / "plans").glob("*.json"))


def read_plan(path: Path) -> SweepPlan | None:
    """The plan of a file, None without the file; errors are those of `read_model`."""
    return read_model(path, SweepPlan)


def plan_file(results_dir: Path, sweep: str) -> Path:
    """Where a sweep's plan lies."""
    return results_dir / "plans" / f"{sweep}.json"


def write_plan(plan: SweepPlan, results_dir: Path) -> Path:
    """Write the plan's file, atomically; returns its path, or raises `UserError`."""
    path = plan_file(results_dir, plan.sweep)
    try:
        with disk(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write((json_text(plan.model_dump(), indent=2) + "\n").encode())
    except DiskError as error:
        raise UserError(f"results_dir: cannot write {path}: {error.reason}") from error
    return path
