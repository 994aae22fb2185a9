"""How many runs came to their end, and which did not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

from experiments.files.run_folder import RunFolder
from experiments.report.numbers.cells import Comparison
from experiments.report.read.records import Results, RunRecord
from experiments.report.titles import counted
from experiments.report.write.document import Table, filled


def outcome(run: RunRecord) -> str:
    """`finished`, `diverged`, `stuck`, `failed` (its process ended badly) or `unfinished`."""
    if run.status == "unfinished" and os.path.exists(RunFolder(run.folder).failure_file):
        return "failed"
    return run.status


def counts(runs: Iterable[RunRecord], not_started: int = 0) -> str:
    """`2 runs finished, 1 diverged, 3 not started`."""
    outcomes = Counter(map(outcome, runs)) + Counter({"not started": not_started})
    others = ("diverged", "stuck", "failed", "unfinished", "not started")
    finished = f"{counted(outcomes['finished'], 'run')} finished"
    return ", ".join([finished, *(f"{outcomes[o]} {o}" for o in others if outcomes[o])])


def not_started(comparison: Comparison) -> int:
    """How many planned runs of the comparison have no folder yet."""
    return sum(
        len(set(cell.seeds) - set(comparison.cell(cell.row, cell.label)["seed"]))
        for cell in comparison.results.planned
    )


def not_finished_table(results: Results) -> Table:
    """The runs that did not finish, and their last step."""
    runs = sorted((r for r in results.runs if r.status != "finished"), key=lambda r: r.folder)
    return Table(
        key="not-finished",
        title="Runs that did not finish",
        caption="None of them is part of a mean.",
        columns=("run", "outcome", "last step"),
        rows=filled(
            (
                run.folder.relative_to(results.folder).as_posix(),
                outcome(run),
                str(run.steps["step"].iloc[-1]) if len(run.steps) else "0",
            )
            for run in runs
        ),
    )


def versions_table(results: Results) -> Table:
    """How many runs each version of the code and of torch made, and on which device."""
    versions = Counter(run.version for run in results.runs)
    return Table(
        key="versions",
        title="Versions",
        caption="Of all runs of this folder; each run's env.json and config.yaml have the rest.",
        columns=("commit", "torch", "python", "device", "runs"),
        rows=filled((*version, str(count)) for version, count in sorted(versions.items())),
    )
