"""The plans that sweeps leave in `<folder>/plans/`: which runs belong to which cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.files.atomic import DiskError
from experiments.files.plan_file import PlanCell, SweepPlan, plan_files, read_plan
from experiments.files.reading import BrokenFileError
from experiments.report.read.records import PlannedCell
from experiments.report.titles import label_title, row_title
from experiments.tuning import Decider


class Place(NamedTuple):
    """The cell of a run."""

    row: str
    label: str
    reference: bool = False
    """True for a tuning run whose rate is not tuned."""


class Plans(NamedTuple):
    """All plans of a folder; the folders of runs are relative to it."""

    sweeps: tuple[SweepPlan, ...]
    cells: tuple[PlannedCell, ...]
    comparison: Mapping[str, Place]
    tuning: Mapping[str, Place]
    tuned_by: Mapping[str, Decider]
    warnings: tuple[str, ...]


def read_plans(folder: Path) -> Plans:
    """The plans below `folder`, in the order of their names; a broken one is a warning.

    Where a later plan has other runs for a row, label and seed of an earlier one, its name is
    added to its label, so that both are shown and neither is averaged with the other.
    """
    plans: list[SweepPlan] = []
    warnings: list[str] = []
    for path in plan_files(folder):
        try:
            plan = read_plan(path)
        except (BrokenFileError, DiskError) as error:
            where = path.relative_to(folder)
            warnings.append(f"{where} is not a plan and was left out: {error.reason}.")
        else:
            plans += [] if plan is None else [plan]
    cells: dict[Place, PlannedCell] = {}
    comparison: dict[str, Place] = {}
    tuning: dict[str, Place] = {}
    taken: dict[tuple[Place, int], str] = {}
    for plan in plans:
        for cell in plan.cells:
            place = Place(cell.row, cell.label)
            runs = [(s, f) for s, f in zip(cell.seeds, cell.folders, strict=True) if f is not None]
            if any(taken.get((place, seed), run) != run for seed, run in runs):
                place = Place(cell.row, f"{cell.label} ({plan.sweep})")
                warnings.append(
                    f"Sweep {plan.sweep} has other runs for {row_title(cell.row)} with "
                    f"{label_title(cell.label)} than another sweep of this folder; they are shown "
                    f"as “{label_title(place.label)}”."
                )
            cells[place] = _joined(cells.get(place), cell, place)
            for seed, run in runs:
                taken[place, seed] = run
                comparison[run] = place
        for tried in plan.tuning:
            # Tuning runs lie below `tuning/`, whether the plan names that or not.
            below = f"tuning/{tried.folder.removeprefix('tuning/')}"
            tuning[below] = Place(tried.row, tried.label, tried.reference)
    tuned_by = _tuned_by(plans, warnings)
    return Plans(tuple(plans), tuple(cells.values()), comparison, tuning, tuned_by, tuple(warnings))


def _joined(before: PlannedCell | None, cell: PlanCell, place: Place) -> PlannedCell:
    seeds, tuned = set(cell.seeds), cell.tuned
    if before is not None:
        seeds, tuned = seeds | set(before.seeds), tuned or before.tuned
    return PlannedCell(place.row, place.label, cell.optimizer, tuple(sorted(seeds)), tuned)


def _tuned_by(plans: Sequence[SweepPlan], warnings: list[str]) -> dict[str, Decider]:
    """The number that decides between the rates of each row, by the last plan that has the row."""
    deciders: dict[str, Decider] = {}
    for plan in plans:
        decider: Decider = "score" if plan.tuned_by is None else plan.tuned_by.score
        for row in dict.fromkeys(run.row for run in plan.tuning):
            if deciders.setdefault(row, decider) != decider:
                warnings.append(
                    f"Sweep {plan.sweep} chooses the rates of {row_title(row)} by another number "
                    "than another sweep of this folder; winners are shown by its rule."
                )
            deciders[row] = decider
    return deciders
