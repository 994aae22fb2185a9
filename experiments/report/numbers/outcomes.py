"""How many runs came to their end, and which did not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.files.run_folder import RunFolder
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import Results, RunRecord
from experiments.report.write.document import Cell, Table


def outcome(run: RunRecord) -> str:
    """`finished`, `diverged`, `stuck`, `failed` (its process ended badly) or `unfinished`."""
    if run.status == "unfinished" and os.path.exists(RunFolder(run.folder).failure_file):
        return "failed"
    return run.status


@dataclass(frozen=True)
class Counts:
    """Runs by what became of them; `not_started` of those that were planned."""

    finished: int
    diverged: int
    stuck: int
    failed: int
    unfinished: int
    not_started: int

    def __str__(self) -> str:
        others = [
            f"{count} {name}"
            for name, count in (
                ("diverged", self.diverged),
                ("stuck", self.stuck),
                ("failed", self.failed),
                ("unfinished", self.unfinished),
                ("not started", self.not_started),
            )
            if count
        ]
        runs = "1 run" if self.finished == 1 else f"{self.finished} runs"
        return ", ".join([f"{runs} finished", *others])


def counts(runs: Sequence[RunRecord], not_started: int = 0) -> Counts:
    """Of some runs."""
    found = Counter(outcome(run) for run in runs)
    return Counts(
        finished=found["finished"],
        diverged=found["diverged"],
        stuck=found["stuck"],
        failed=found["failed"],
        unfinished=found["unfinished"],
        not_started=not_started,
    )


def not_started(comparison: Comparison) -> int:
    """How many planned runs of the comparison have no folder yet."""
    return sum(
        len(set(cell.seeds) - {run.seed for run in comparison.runs(cell.row, cell.label)})
        for cell in comparison.results.planned
    )


def missing_cells(comparison: Comparison) -> list[tuple[str, str]]:
    """The planned (row, label) without a single run that came to an end."""
    return [
        (cell.row, cell.label)
        for cell in comparison.results.planned
        if all(run.status == "unfinished" for run in comparison.runs(cell.row, cell.label))
    ]


def not_finished_table(results: Results) -> Table | None:
    """The runs that did not finish, and how far they came; None if all did."""
    runs = sorted((r for r in results.runs if r.status != "finished"), key=lambda r: r.folder)
    if not runs:
        return None
    return Table(
        key="not-finished",
        title="Runs that did not finish",
        caption="None of them is part of a mean.",
        columns=("run", "what became of it", "last step"),
        rows=tuple(
            (
                Cell(run.folder.relative_to(results.folder).as_posix()),
                Cell(outcome(run)),
                Cell(str(run.steps["step"].iloc[-1]) if len(run.steps) else "0"),
            )
            for run in runs
        ),
    )


def versions_table(results: Results) -> Table:
    """How many runs each version of the code and of torch made, and on what."""
    found = Counter(_version(run) for run in results.runs)
    return Table(
        key="versions",
        title="Versions",
        caption="Of all runs of this folder; each run's env.json and config.yaml have the rest.",
        columns=("commit", "torch", "python", "device", "runs"),
        rows=tuple(
            tuple(map(Cell, (*version, str(count)))) for version, count in sorted(found.items())
        ),
    )


def _version(run: RunRecord) -> tuple[str, str, str, str]:
    git = run.env.get("git") or {}
    commit = str(git.get("commit") or "unknown")[:7]
    device = str(run.env.get("device_name") or "unknown")
    return (
        f"{commit} + changes" if git.get("dirty") else commit,
        str(run.env.get("torch") or "unknown"),
        str(run.env.get("python") or "unknown"),
        device,
    )
