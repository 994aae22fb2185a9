"""A conductor to start and to kill: `python -m tests.experiments.sweep.conductor`.

Arguments: the results' folder, the number of workers, `retry` or `skip`, and the arguments of each
run as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from experiments.files.plan_file import PlanCell, SweepPlan
from experiments.files.run_folder import RunFolder
from experiments.sweep.conduct import conduct
from experiments.sweep.schema import LocalSettings
from tests.experiments.sweep.runs import Run, make_run


class FixedSweep:
    """A sweep of given runs, all of them to compare."""

    name = "fixed"

    def __init__(self, results_dir: Path, runs: list[Run], workers: int) -> None:
        self.results_dir = results_dir
        self.launcher = LocalSettings(workers=workers)
        self.runs = tuple(runs)
        self.cells: list[tuple[str, str, str]] = []

    def tuning_runs(self) -> tuple[Run, ...]:
        """None."""
        return ()

    def comparison_runs(self) -> tuple[Run, ...]:
        """All."""
        return self.runs

    def untuned(self) -> list[tuple[str, str, str]]:
        """Those that a test puts there."""
        return self.cells

    def plan(self) -> SweepPlan:
        """A cell for each run."""
        return SweepPlan(sweep=self.name, cells=[self._cell(run.folder) for run in self.runs])

    def with_earlier(self, plan: SweepPlan) -> SweepPlan:
        """The plan as it is: the sweep is whole."""
        return plan

    def _cell(self, folder: RunFolder) -> PlanCell:
        path = folder.path.relative_to(self.results_dir)
        seed = int(path.name[1:].partition("-")[0])
        row, label = path.parts[-3:-1]
        return PlanCell(row=row, label=label, seeds=[seed], folders=[str(path)])


def write_report(results_dir: Path) -> Path:
    """A stand-in that leaves a file, so that a test sees whether it was called."""
    file = results_dir / "report.md"
    file.write_text("all of it\n")
    return file


def main() -> int:
    """Conduct what the arguments say."""
    results, workers, retry, runs = sys.argv[1:]
    # A test that runs in the background of a script hands down that SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    made = [make_run(Path(results), *arguments) for arguments in json.loads(runs)]
    sweep = FixedSweep(Path(results), made, int(workers))
    return conduct(sweep, retry_failed=retry == "retry", write_report=write_report)


if __name__ == "__main__":
    sys.exit(main())
