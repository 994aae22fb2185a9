"""The runs of a folder of sweeps, by its plans or by its folders; their states and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.files.plan_file import SweepPlan, plan_files, read_plan
from experiments.files.reading import BrokenFileError
from experiments.files.run_folder import ENDS, RunFolder, RunPlace, find_runs
from experiments.sweep.run_state import RunState, state_of


@dataclass(frozen=True)
class Entry:
    """A run of the table: its names and its state."""

    stage: str
    """`tuning`, `comparison`, or empty without a plan."""
    row: str
    label: str
    seed: int
    state: RunState

    @property
    def name(self) -> str:
        """For people, in one line."""
        words = [self.stage] if self.stage == "tuning" else []
        return " ".join([*words, self.row, self.label, f"seed {self.seed}"])


@dataclass(frozen=True)
class Known:
    """A run of a folder of sweeps; the folder is None while its tuned rate is unknown."""

    stage: str
    row: str
    label: str
    seed: int
    folder: Path | None

    def entry(self) -> Entry:
        """The run with its state as it is now."""
        if self.folder is None:
            state = RunState("waiting", reason="waits for its tuning")
        else:
            state = state_of(RunFolder(self.folder))
        return Entry(self.stage, self.row, self.label, self.seed, state)


class Watch:
    """Reads the states of runs again and again; those that are done are not read any more.

    A reading that took long, as on a slow network's folder, is not repeated before ten times as
    long has passed.
    """

    def __init__(self, runs: Sequence[Known]) -> None:
        self._runs = tuple(runs)
        self._entries: list[Entry] = []
        self._not_before = 0.0

    def entries(self) -> Sequence[Entry]:
        """The runs as they are now, or were a moment ago."""
        start = time.monotonic()
        if start >= self._not_before:
            before: Sequence[Entry | None] = self._entries or [None] * len(self._runs)
            self._entries = [
                entry if entry is not None and entry.state.kind in ENDS else run.entry()
                for run, entry in zip(self._runs, before, strict=True)
            ]
            self._not_before = start + 11 * (time.monotonic() - start)
        return self._entries


def known_runs(results_dir: Path) -> list[Known]:
    """The runs of the plans in `<results_dir>/plans`; where there are none, the folders of runs.

    Raises:
        UserError: if there is no such folder, or a plan is broken.
    """
    if not results_dir.is_dir():
        raise UserError(f"{results_dir} (command line): no such folder")
    plans = plan_files(results_dir)
    runs = [run for file in plans for run in planned_runs(_plan(file), results_dir)]
    if not plans:
        runs = [*_found(results_dir / "tuning", "tuning"), *_found(results_dir, "")]
    # Sweeps may share runs; those without a folder yet are told apart by their names.
    unique = {(run.folder or (run.stage, run.row, run.label, run.seed)): run for run in runs}
    return list(unique.values())


def _plan(file: Path) -> SweepPlan:
    try:
        plan = read_plan(file)
    except BrokenFileError as error:
        raise UserError(f"{file} is no plan of a sweep ({error.reason}); delete it") from error
    if plan is None:
        raise UserError(f"{file} is no plan of a sweep (it is missing)")
    return plan


def planned_runs(plan: SweepPlan, results_dir: Path) -> Iterator[Known]:
    """The runs of a plan, tuning first."""
    for run in plan.tuning:
        # The rate is part of its name: a cell has one tuning run for each.
        label = run.label if run.lr is None else f"{run.label} lr={run.lr:g}"
        yield Known("tuning", run.row, label, run.seed, results_dir / run.folder)
    for cell in plan.cells:
        for seed, folder in zip(cell.seeds, cell.folders, strict=True):
            path = None if folder is None else results_dir / folder
            yield Known("comparison", cell.row, cell.label, seed, path)


def _found(results_dir: Path, stage: str) -> Iterator[Known]:
    for folder in find_runs(results_dir):
        place = RunPlace.of(folder)
        if folder.is_dir() and place.seed.isdigit():
            yield Known(stage, place.row, place.optimizer, int(place.seed), folder)


# --------------------------------------------------------------------------------- time left


def seconds_left(entry: Entry, entries: Sequence[Entry]) -> float | None:
    """How long a run may still take; None if no comparable run has finished or is running.

    A run takes as long as the mean of the finished ones of its row and label, else of its row, else
    as long as its own pace or that of running ones of its row gives.
    """
    same_row = [other for other in entries if other.row == entry.row]
    same_cell = [other for other in same_row if other.label == entry.label]
    finished = [
        [other.state.seconds for other in group if other.state.kind == "finished"]
        for group in (same_cell, same_row)
    ]
    running = [
        [_whole_seconds(other.state) for other in group]
        for group in ([entry], same_cell, same_row)
    ]  # fmt: skip
    for candidates in (*finished, *running):
        known = [seconds for seconds in candidates if seconds is not None]
        if known:
            state = entry.state
            done = state.step / state.total_steps if state.total_steps else 0.0
            return sum(known) / len(known) * (1 - done)
    return None


def _whole_seconds(state: RunState) -> float | None:
    """The whole duration of a running run's training, by its steps so far."""
    if state.seconds_left is None or not state.total_steps or state.step >= state.total_steps:
        return None
    return state.seconds_left * state.total_steps / (state.total_steps - state.step)
