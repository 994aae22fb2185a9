"""What a folder of sweeps has: its runs and their states, found by its plans or by its folders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.files.reading import BrokenFileError, read_model
from experiments.files.run_folder import ENDS, RunFolder
from experiments.files.shapes import PlanCell, PlanTuningRun, SweepPlan
from experiments.sweep.run_state import RunState, state_of

# <experiment>/<task>-<model>/<optimizer>/s<seed>-<hash>, as `run_path` makes it.
_DEPTH = 4
_NO_EXPERIMENT = "default"
_WAITS_FOR_TUNING = "waits for its tuning"


@dataclass(frozen=True)
class Entry:
    """A run of the table: what it is called, and how far it is."""

    stage: str
    """`tuning`, `comparison`, or empty where no plan says."""
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
    """A run that is known of; the folder is None while its tuned rate is not known."""

    stage: str
    row: str
    label: str
    seed: int
    folder: Path | None

    def entry(self) -> Entry:
        """With its state as it is now."""
        state = (
            RunState("waiting", reason=_WAITS_FOR_TUNING)
            if self.folder is None
            else state_of(RunFolder(self.folder))
        )
        return Entry(self.stage, self.row, self.label, self.seed, state)


class Watch:
    """Looks at runs again and again; those that are done are not looked at any more.

    A look that took long, as on a slow network's folder, is not repeated before ten times as long
    has passed.
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
        UserError: if there is no such folder, or a plan is not one.
    """
    if not results_dir.is_dir():
        raise UserError(f"{results_dir} (command line): no such folder")
    plans = sorted((results_dir / "plans").glob("*.json"))
    runs = [run for plan in plans for run in planned_runs(plan, results_dir)]
    if not plans:
        runs = [*_found(results_dir / "tuning", "tuning"), *_found(results_dir, "")]
    # Sweeps may share runs; those without a folder yet are told apart by their names.
    unique = {(run.folder or (run.stage, run.row, run.label, run.seed)): run for run in runs}
    return list(unique.values())


def planned_runs(file: Path, results_dir: Path) -> list[Known]:
    """The runs of one plan, tuning first.

    Raises:
        UserError: if the file is not a plan.
    """
    try:
        plan = read_model(file, SweepPlan)
    except BrokenFileError as error:
        raise UserError(f"{file} is no plan of a sweep ({error.reason}); delete it") from error
    if plan is None:
        raise UserError(f"{file} is no plan of a sweep (it is not there)")
    tuning = [_tuning_run(run, results_dir) for run in plan.tuning]
    return tuning + [run for cell in plan.cells for run in _cell(cell, results_dir)]


def _tuning_run(run: PlanTuningRun, results_dir: Path) -> Known:
    """The rate is part of its name: a cell has one tuning run for each."""
    label = run.label if run.lr is None else f"{run.label} lr={run.lr:g}"
    return Known("tuning", run.row, label, run.seed, results_dir / run.folder)


def _cell(cell: PlanCell, results_dir: Path) -> Iterator[Known]:
    for seed, folder in zip(cell.seeds, cell.folders, strict=True):
        path = None if folder is None else results_dir / folder
        yield Known("comparison", cell.row, cell.label, seed, path)


def _found(results_dir: Path, stage: str) -> Iterator[Known]:
    for folder in sorted(results_dir.glob("/".join(["*"] * (_DEPTH - 1) + ["s*-*"]))):
        experiment, model, optimizer, leaf = folder.parts[-_DEPTH:]
        seed = leaf[1:].partition("-")[0]
        if folder.is_dir() and seed.isdigit():
            row = model if experiment == _NO_EXPERIMENT else experiment
            yield Known(stage, row, optimizer, int(seed), folder)
