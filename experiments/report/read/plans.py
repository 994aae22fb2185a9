"""The plans that sweeps leave in `<folder>/plans/`: which runs belong to which cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, read_model
from experiments.files.shapes import PlanCell, SweepPlan
from experiments.report.read.records import PlannedCell
from experiments.report.titles import label_title, row_title
from experiments.tuning import Decider


@dataclass(frozen=True)
class Place:
    """Where in the tables a run belongs."""

    row: str
    label: str
    reference: bool = False
    """Of a tuning run: its rate is not tuned."""


@dataclass(frozen=True)
class Plans:
    """All plans of a folder; the folders of runs are relative to it."""

    there_are_any: bool
    cells: tuple[PlannedCell, ...]
    comparison: Mapping[str, Place]
    tuning: Mapping[str, Place]
    tuned_by: Mapping[str, Decider]
    warnings: tuple[str, ...]


def read_plans(folder: Path) -> Plans:
    """The plans below `folder`, in the order of their names; what is broken is a warning.

    Where a later plan has other runs for a row, label and seed of an earlier one, its name is
    put to its label, so that both are shown and neither is averaged with the other.
    """
    plans: list[SweepPlan] = []
    warnings: list[str] = []
    for path in sorted((folder / "plans").glob("*.json")):
        try:
            plan = read_model(path, SweepPlan)
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
            place = _place(cell, plan.sweep, taken)
            if place.label != cell.label:
                warnings.append(
                    f"Sweep {plan.sweep} has other runs for {row_title(cell.row)} with "
                    f"{label_title(cell.label)} than another sweep of this folder; they are shown "
                    f"as “{label_title(place.label)}”."
                )
            cells[place] = _joined(cells.get(place), cell, place)
            for seed, run in zip(cell.seeds, cell.folders, strict=True):
                if run is not None:
                    taken[place, seed] = run
                    comparison[run] = place
        for tried in plan.tuning:
            tuning[_below_tuning(tried.folder)] = Place(tried.row, tried.label, tried.reference)
    tuned_by = _tuned_by(plans, warnings)
    return Plans(bool(plans), tuple(cells.values()), comparison, tuning, tuned_by, tuple(warnings))


def _tuned_by(plans: Sequence[SweepPlan], warnings: list[str]) -> dict[str, Decider]:
    """What decides between the rates of each row; of plans that differ the last one's."""
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


def _place(cell: PlanCell, sweep: str, taken: Mapping[tuple[Place, int], str]) -> Place:
    place = Place(cell.row, cell.label)
    clash = any(
        run is not None and taken.get((place, seed), run) != run
        for seed, run in zip(cell.seeds, cell.folders, strict=True)
    )
    return Place(cell.row, f"{cell.label} ({sweep})") if clash else place


def _joined(before: PlannedCell | None, cell: PlanCell, place: Place) -> PlannedCell:
    seeds = set(cell.seeds) | (set() if before is None else set(before.seeds))
    tuned = cell.tuned or (before is not None and before.tuned)
    return PlannedCell(place.row, place.label, cell.optimizer, tuple(sorted(seeds)), tuned)


def _below_tuning(folder: str) -> str:
    """Tuning runs lie below `tuning/`, whether the plan names that or not."""
    return folder if folder.startswith("tuning/") else f"tuning/{folder}"
