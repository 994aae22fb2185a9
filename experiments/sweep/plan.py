"""A resolved sweep: the runs of its two stages, in its file's order, and its plan. No torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError
from experiments.files.plan_file import PlanCell, PlanTunedBy, PlanTuningRun, SweepPlan
from experiments.files.run_folder import NO_EXPERIMENT
from experiments.optimizers.shared import Scheduled
from experiments.settings import with_home
from experiments.sweep.read import ReadSweep, read_sweep
from experiments.sweep.run_configs import Cell, PlannedRun, cells_of
from experiments.sweep.run_state import summary_of
from experiments.tuning import Best, best_rate


def load_sweep(
    name: str | None,
    family: str,
    arguments: Sequence[str],
    root: Path = CONFIG_ROOT,
    environ: Mapping[str, str] = os.environ,
) -> Sweep:
    """The sweep that `key=value` arguments make of a file below `root/sweep`.

    The default name is the family's (`text`, `images`); `cpu` is the family's small one. The
    configs of all runs are composed here, but for the rates that tuning has to find.

    Raises:
        UserError: in one line, for every error in arguments or files.
    """
    read = read_sweep(name, family, arguments, root)
    return Sweep(read, tuple(cells_of(read, root, environ)))


class Sweep:
    """A sweep's runs. What depends on finished runs is read from their folders at each call."""

    def __init__(self, read: ReadSweep, cells: Sequence[Cell]) -> None:
        self.name = read.name
        self.config = read.config
        self.results_dir = Path(with_home(read.config.results_dir, "results_dir"))
        self.launcher = read.config.launcher
        self._source = read.source
        self._cells = cells
        self._tuning_runs = tuple(self._planned_tuning_runs())
        self._refuse_equal_runs()

    def tuning_runs(self) -> tuple[PlannedRun, ...]:
        """The runs of the tuning stage, reference runs included."""
        return self._tuning_runs

    def comparison_runs(self) -> tuple[PlannedRun, ...]:
        """The runs whose rate is known: of tuned columns those whose tuning runs have all ended."""
        return tuple(run for cell in self._cells for run in self._compared(cell, self._best(cell)))

    def untuned(self) -> list[tuple[str, str, str]]:
        """Row, column and reason of each cell that waits for tuning, or has found no rate by it."""
        bests = [(cell, self._best(cell)) for cell in self._cells]
        return [(cell.row, cell.label, best) for cell, best in bests if isinstance(best, str)]

    # ------------------------------------------------------------------------------------- plan

    def plan(self) -> SweepPlan:
        """What is known of all runs by now."""
        tuning = self.config.tuning
        bests = [(cell, self._best(cell)) for cell in self._cells]
        return SweepPlan(
            sweep=self.name,
            cells=[self._plan_cell(cell, best) for cell, best in bests],
            tuning=[
                PlanTuningRun(
                    row=run.row,
                    label=run.label,
                    optimizer=run.config.optimizer.kind,
                    lr=run.lr,
                    seed=run.config.seed,
                    folder=self._relative(run),
                    reference=run.lr is None,
                )
                for run in self._tuning_runs
            ],
            tuned_by=PlanTunedBy(score=tuning.score, hold_out=tuning.hold_out) if tuning else None,
            winners=[
                {"row": cell.row, "label": cell.label, **asdict(best)}
                for cell, best in bests
                if isinstance(best, Best)
            ],
        )

    def _plan_cell(self, cell: Cell, best: Best | str | None) -> PlanCell:
        choices = cell.config.choices
        runs = self._compared(cell, best)
        return PlanCell(
            row=cell.row,
            label=cell.label,
            optimizer=cell.config.optimizer.kind,
            task=choices.task,
            model=choices.model,
            experiment=None if choices.experiment == NO_EXPERIMENT else choices.experiment,
            seeds=list(self.config.seeds),
            folders=[*map(self._relative, runs)] or [None for _ in self.config.seeds],
            tuned=best is not None,
        )

    def _relative(self, run: PlannedRun) -> str:
        return run.folder.path.relative_to(self.results_dir).as_posix()

    # ------------------------------------------------------------------------------------- runs

    def _planned_tuning_runs(self) -> Iterator[PlannedRun]:
        stage, folder = self.config.tuning, str(self.results_dir / "tuning")
        if stage is None:
            return
        for cell in self._cells:
            for lr in self._rates(cell):
                yield from cell.runs(
                    "tuning", stage.seeds, results_dir=folder, lr=lr, hold_out=stage.hold_out
                )

    def _rates(self, cell: Cell) -> tuple[float | None, ...]:
        """The rates that tuning tries; a reference keeps its own, which is None here."""
        stage = self.config.tuning
        if stage is None or (stage.rows is not None and cell.row not in stage.rows):
            return ()
        grid = stage.optimizers.get(cell.label)
        if grid is None:
            return (None,) if cell.label in stage.reference else ()
        optimizer = cell.config.optimizer
        if not isinstance(optimizer, Scheduled):
            raise UserError(f"tuning.optimizers.{cell.label} ({self._source}): has no rate to tune")
        return grid.rates(optimizer.lr)

    def _best(self, cell: Cell) -> Best | str | None:
        """The best rate, why there is none yet, or None for a cell that is not tuned."""
        trials = [
            (run.lr, summary_of(run.folder))
            for run in self._tuning_runs
            if (run.row, run.label) == (cell.row, cell.label) and run.lr is not None
        ]
        if self.config.tuning is None or not trials:
            return None
        return best_rate(trials, self.config.tuning.score)

    def _compared(self, cell: Cell, best: Best | str | None) -> Iterable[PlannedRun]:
        """The cell's runs of the comparison; none before its rate is known."""
        if isinstance(best, str):
            return ()
        return self._comparison(cell, None if best is None else best.lr)

    def _comparison(self, cell: Cell, lr: float | None) -> Iterator[PlannedRun]:
        folder = self.config.results_dir
        return cell.runs("comparison", self.config.seeds, results_dir=folder, lr=lr)

    def _refuse_equal_runs(self) -> None:
        """Two runs with one folder would be one: their columns are the same."""
        runs = list(self._tuning_runs)
        files = Counter(entry.name for entry in self.config.optimizers)
        for cell in self._cells:
            # Tuning may choose any of its rates, which matters where columns have the same file.
            alone = files[cell.config.choices.optimizer] == 1
            for lr in (() if alone else self._rates(cell)) or (None,):
                runs += self._comparison(cell, lr)
        owners: dict[Path, PlannedRun] = {}
        for run in runs:
            path = run.folder.path
            other = owners.setdefault(path, run)
            if other is not run:
                raise UserError(
                    f"{run.row}: the runs of {other.label!r} and of {run.label!r} are the same "
                    f"({path.name}); leave one of them out"
                )
