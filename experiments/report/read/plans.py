"""The plans that sweeps leave in `<folder>/plans/`: which runs belong to which cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from experiments.files.atomic import DiskError
from experiments.files.plan_file import SweepPlan, plan_files, read_plan
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

    found: bool
    cells: tuple[PlannedCell, ...]
    comparison: Mapping[str, Place]
    tuning: Mapping[str, Place]
    tuned_by: Mapping[str, Decider]
    """The number that decides between the rates of a row, by the last plan that has the row."""
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
    deciders: dict[str, Decider] = {}
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
            before = cells.get(place, PlannedCell(place.row, place.label, cell.optimizer, ()))
            cells[place] = replace(
                before,
                optimizer=cell.optimizer,
                seeds=tuple(sorted({*before.seeds, *cell.seeds})),
                tuned=before.tuned or cell.tuned,
                target=plan.targets.get(cell.row, before.target),
            )
            for seed, run in runs:
                taken[place, seed] = run
                comparison[run] = place
        decider: Decider = "score" if plan.tuned_by is None else plan.tuned_by.score
        for tried in plan.tuning:
            # Tuning runs lie below `tuning/`, whether the plan names that or not.
            below = f"tuning/{tried.folder.removeprefix('tuning/')}"
            tuning[below] = Place(tried.row, tried.label, tried.reference)
            if deciders.setdefault(tried.row, decider) != decider:
                warnings.append(
                    f"Sweep {plan.sweep} chooses the rates of {row_title(tried.row)} by another "
                    "number than another sweep of this folder; winners are shown by its rule."
                )
            deciders[tried.row] = decider
    planned = tuple(cells.values())
    return Plans(bool(plans), planned, comparison, tuning, deciders, tuple(warnings))
