"""The plan of a part of a sweep, joined with what the plan before it has of the rest. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from experiments.files.plan_file import PlanCell, SweepPlan

Place = tuple[str, str]
"""Row and label of a cell."""

FoldersOf = Callable[[Place, Sequence[int]], Sequence[str | None]]
"""The folders that the sweep would give a cell's runs of these seeds."""


def joined(plan: SweepPlan, earlier: SweepPlan, folders_of: FoldersOf) -> SweepPlan:
    """`plan` with the cells of `earlier` that it lacks, their tuning runs, targets and winners.

    A cell that both have is the new one; the earlier one's other seeds stay if the sweep would give
    them the same folders, which means that nothing but the seed differs. If the two choose rates by
    different rules, nothing stays.
    """
    if None not in (plan.tuned_by, earlier.tuned_by) and plan.tuned_by != earlier.tuned_by:
        return plan
    new = {(cell.row, cell.label): cell for cell in plan.cells}
    old = {(cell.row, cell.label): cell for cell in earlier.cells}
    both = {
        place: _with_seeds(cell, old[place], folders_of) if place in old else cell
        for place, cell in new.items()
    }
    # In the earlier order, unless the new plan has all its cells.
    cells = both if old.keys() <= new.keys() else {**old, **both}
    tuned_anew = {(run.row, run.label) for run in plan.tuning}
    tuned_no_more = {place for place in new.keys() & old if old[place].tuned > new[place].tuned}
    kept = [run for run in earlier.tuning if (run.row, run.label) not in tuned_anew | tuned_no_more]
    won = [winner for winner in earlier.winners if (winner.row, winner.label) not in new]
    return plan.model_copy(
        update={
            "cells": [*cells.values()],
            "tuning": [*kept, *plan.tuning],
            "targets": {**earlier.targets, **plan.targets},
            "tuned_by": plan.tuned_by or earlier.tuned_by,
            "winners": [*won, *plan.winners],
        }
    )


def _with_seeds(cell: PlanCell, earlier: PlanCell, folders_of: FoldersOf) -> PlanCell:
    """The cell with the earlier one's other seeds, if only the seed differs."""
    folders = dict(zip(earlier.seeds, earlier.folders, strict=True))
    others = [seed for seed in earlier.seeds if seed not in cell.seeds]
    same = folders_of((cell.row, cell.label), others)
    runs = dict(zip(cell.seeds, cell.folders, strict=True))
    runs |= {s: f for s, f in zip(others, same, strict=True) if folders[s] in (f, None)}
    seeds = sorted(runs)
    return cell.model_copy(update={"seeds": seeds, "folders": [runs[seed] for seed in seeds]})
