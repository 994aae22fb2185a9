"""The runs of a folder of sweeps, by its plans or by its folders; their states and time left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.errors import UserError
from experiments.files.plan_file import SweepPlan, plan_files, read_plan
from experiments.files.reading import BrokenFileError
from experiments.files.run_folder import ENDS, RunFolder, RunPlace, find_runs
from experiments.sweep.run_state import Kind, RunState, state_of

_UNREAD = RunState("waiting")


@dataclass(frozen=True)
class Entry:
    """A run of a folder of sweeps: its names, its folder, and its state when it was last read."""

    stage: str
    """`tuning`, `comparison`, or empty without a plan."""
    row: str
    label: str
    seed: int
    folder: Path | None = None
    """None while its tuned rate is unknown."""
    state: RunState = _UNREAD

    @property
    def name(self) -> str:
        """For people, in one line."""
        stage = "tuning " if self.stage == "tuning" else ""
        return f"{stage}{self.row} {self.label} seed {self.seed}"

    def now(self) -> Entry:
        """The run with its state as it is now."""
        if self.folder is None:
            return self
        return replace(self, state=state_of(RunFolder(self.folder)))


class Watch:
    """Reads the states of runs again and again; those that are done are not read any more.

    A reading that took long, as on a slow network's folder, is not repeated before ten times as
    long has passed.
    """

    def __init__(self, runs: Iterable[Entry]) -> None:
        self._entries = list(runs)
        self._not_before = 0.0

    def entries(self) -> Sequence[Entry]:
        """The runs as they are now, or were a moment ago."""
        start = time.monotonic()
        if start >= self._not_before:
            self._entries = [
                entry if entry.state.kind in ENDS else entry.now() for entry in self._entries
            ]
            self._not_before = start + 11 * (time.monotonic() - start)
        return self._entries


def known_runs(results_dir: Path) -> list[Entry]:
    """The runs of the plans in `<results_dir>/plans`; where there are none, the folders of runs.

    Their states are not read yet. Raises `UserError` without the folder, and for a broken plan.
    """
    if not results_dir.is_dir():
        raise UserError(f"{results_dir} (command line): no such folder")
    runs: list[Entry] = []
    plans = plan_files(results_dir)
    for file in plans:
        try:
            plan = read_plan(file)
        except BrokenFileError as error:
            text = f"{file} is no plan of a sweep ({error.reason}); delete it"
            raise UserError(text) from error
        runs += planned_runs(plan, results_dir) if plan is not None else ()
    if not plans:
        runs = [*_found(results_dir / "tuning", "tuning"), *_found(results_dir, "")]
    # Sweeps may share runs; those without a folder yet are told apart by their names.
    return list({run.folder or run.name: run for run in runs}.values())


def planned_runs(plan: SweepPlan, results_dir: Path) -> Iterator[Entry]:
    """The runs of a plan, tuning first."""
    for run in plan.tuning:
        # The rate is part of its name: a cell has one tuning run for each.
        label = run.label if run.lr is None else f"{run.label} lr={run.lr:g}"
        yield Entry("tuning", run.row, label, run.seed, results_dir / run.folder)
    for cell in plan.cells:
        for seed, folder in zip(cell.seeds, cell.folders, strict=True):
            path = None if folder is None else results_dir / folder
            yield Entry("comparison", cell.row, cell.label, seed, path)


def _found(results_dir: Path, stage: str) -> Iterator[Entry]:
    for folder in find_runs(results_dir):
        place = RunPlace.of(folder)
        if folder.is_dir() and place.seed.isdigit():
            yield Entry(stage, place.row, place.optimizer, int(place.seed), folder)


def seconds_left(entry: Entry, entries: Sequence[Entry]) -> float | None:
    """How long a run may still take; None if no comparable run has finished or is running.

    A run takes as long as the mean of the finished ones of its row and label, else of its row, else
    as long as its own pace or that of running ones of its row gives.
    """
    same_row = [other for other in entries if other.row == entry.row]
    same_cell = [other for other in same_row if other.label == entry.label]
    comparable: list[tuple[Kind, Sequence[Entry]]] = [
        ("finished", same_cell),
        ("finished", same_row),
        ("running", [entry]),
        ("running", same_cell),
        ("running", same_row),
    ]
    for kind, others in comparable:
        states = [other.state for other in others if other.state.kind == kind]
        known = [state.seconds for state in states if state.seconds is not None]
        if known:
            return sum(known) / len(known) * entry.state.share_left
    return None
