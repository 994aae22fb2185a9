"""A resolved sweep: the runs of its two stages, in its file's order, and its plan. No torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.config.compose import NO_EXPERIMENT, run_path
from experiments.config.home import with_home
from experiments.config.schema import RunConfig
from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError
from experiments.files.plan_file import PlanCell, PlanTunedBy, PlanTuningRun, SweepPlan
from experiments.files.run_folder import RunFolder
from experiments.sweep.read import ReadSweep, read_sweep
from experiments.sweep.run_configs import CellConfig, cells_of
from experiments.sweep.run_state import summary_of
from experiments.sweep.schema import Grid, Tuning
from experiments.tuning import Best, UntunedError, best_rate


@dataclass(frozen=True)
class PlannedRun:
    """A run of the sweep: what to start, and where it lies."""

    stage: Literal["tuning", "comparison"]
    row: str
    """The experiment's name, or `<task>-<model>` (slashes as in `run_path`) where there is none."""
    label: str
    """The optimizer's column: its file's name, or the label that the sweep gives it."""
    lr: float | None
    """The rate that was set; None: the recommended one."""
    arguments: tuple[str, ...]
    """Of main.py, one a word, not quoted for a shell."""
    config: RunConfig

    @property
    def folder(self) -> RunFolder:
        """The run's folder; it need not exist."""
        return RunFolder(run_path(self.config))


class Untuned(NamedTuple):
    """A row and a column of the tables without a rate, and why."""

    row: str
    label: str
    reason: str


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

    def __init__(self, read: ReadSweep, cells: Sequence[CellConfig]) -> None:
        self.name = read.name
        self.config = read.config
        self.results_dir = Path(with_home(read.config.results_dir, "results_dir"))
        self.launcher = read.config.launcher
        self._cells = cells
        for cell in cells:
            if self._grid(cell) is not None and cell.recommended_rate is None:
                raise UserError(
                    f"tuning.optimizers.{cell.label} ({read.source}): has no rate to tune"
                )
        self._tuning_runs = tuple(run for cell in cells for run in self._tried(cell))
        _refuse_equal_runs((*self._tuning_runs, *self._possible_comparison_runs()))

    # ---------------------------------------------------------------------------------- stages

    def tuning_runs(self) -> tuple[PlannedRun, ...]:
        """The runs of the tuning stage, reference runs included."""
        return self._tuning_runs

    def comparison_runs(self) -> tuple[PlannedRun, ...]:
        """The runs whose rate is known: of tuned columns those whose tuning runs have all ended."""
        return tuple(
            run for cell in self._cells for run in self._compared_if_tuned(cell, self._best(cell))
        )

    def untuned(self) -> tuple[Untuned, ...]:
        """The cells that wait for their tuning, or whose tuning found no rate."""
        found = [(cell, self._best(cell)) for cell in self._cells]
        return tuple(
            Untuned(cell.row, cell.label, str(best))
            for cell, best in found
            if isinstance(best, UntunedError)
        )

    def plan(self) -> SweepPlan:
        """What is known of all runs by now."""
        tuning, cells, winners = self.config.tuning, [], []
        for cell in self._cells:
            best = self._best(cell)
            cells.append(self._plan_cell(cell, best))
            if isinstance(best, Best):
                winners.append({"row": cell.row, "label": cell.label, **asdict(best)})
        return SweepPlan(
            sweep=self.name,
            cells=cells,
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
            tuned_by=None
            if tuning is None
            else PlanTunedBy(score=tuning.score, hold_out=tuning.hold_out),
            winners=winners,
        )

    def _plan_cell(self, cell: CellConfig, best: Best | UntunedError | None) -> PlanCell:
        choices = cell.config.choices
        runs = self._compared_if_tuned(cell, best)
        return PlanCell(
            row=cell.row,
            label=cell.label,
            optimizer=cell.config.optimizer.kind,
            task=choices.task,
            model=choices.model,
            experiment=None if choices.experiment == NO_EXPERIMENT else choices.experiment,
            seeds=list(self.config.seeds),
            folders=[self._relative(run) for run in runs] or [None for _ in self.config.seeds],
            tuned=best is not None,
        )

    def _relative(self, run: PlannedRun) -> str:
        return run.folder.path.relative_to(self.results_dir).as_posix()

    # ------------------------------------------------------------------------------------- cells

    def _stage(self, cell: CellConfig) -> Tuning | None:
        """The tuning stage, if it includes the cell's row."""
        tuning = self.config.tuning
        if tuning is None or (tuning.rows is not None and cell.row not in tuning.rows):
            return None
        return tuning

    def _grid(self, cell: CellConfig) -> Grid | None:
        stage = self._stage(cell)
        return None if stage is None else stage.optimizers.get(cell.label)

    def _rates(self, cell: CellConfig) -> tuple[float | None, ...]:
        """The rates to try; a reference keeps its own, which is None here."""
        grid, stage = self._grid(cell), self._stage(cell)
        if grid is not None and cell.recommended_rate is not None:
            return grid.rates(cell.recommended_rate)
        return (None,) if stage is not None and cell.label in stage.reference else ()

    def _tried(self, cell: CellConfig) -> Iterator[PlannedRun]:
        """The cell's runs of the tuning stage."""
        folder = str(self.results_dir / "tuning")
        for lr in self._rates(cell):
            stage = self.config.tuning
            assert stage is not None  # noqa: S101 - without it there are no rates
            for arguments, config in cell.runs(
                stage.seeds, results_dir=folder, lr=lr, hold_out=stage.hold_out
            ):
                yield PlannedRun("tuning", cell.row, cell.label, lr, arguments, config)

    def _compared(self, cell: CellConfig, lr: float | None = None) -> Iterator[PlannedRun]:
        """The cell's runs of the comparison."""
        runs = cell.runs(self.config.seeds, results_dir=self.config.results_dir, lr=lr)
        for arguments, config in runs:
            yield PlannedRun("comparison", cell.row, cell.label, lr, arguments, config)

    def _compared_if_tuned(
        self, cell: CellConfig, best: Best | UntunedError | None
    ) -> Iterable[PlannedRun]:
        if isinstance(best, UntunedError):
            return ()
        return self._compared(cell, None if best is None else best.lr)

    def _best(self, cell: CellConfig) -> Best | UntunedError | None:
        """The best rate, why there is none yet, or None for a cell that is not tuned."""
        stage = self._stage(cell)
        if stage is None or cell.label not in stage.optimizers:
            return None
        trials = [
            (run.lr, summary_of(run.folder))
            for run in self._tuning_runs
            if (run.row, run.label) == (cell.row, cell.label) and run.lr is not None
        ]
        try:
            return best_rate(trials, stage.score)
        except UntunedError as error:
            return error

    def _possible_comparison_runs(self) -> Iterator[PlannedRun]:
        """The runs that the comparison may have; all rates, where columns have the same file."""
        files = Counter(entry.name for entry in self.config.optimizers)
        for cell in self._cells:
            alone = files[cell.config.choices.optimizer] == 1
            rates = (None,) if alone or self._grid(cell) is None else self._rates(cell)
            for lr in rates:
                yield from self._compared(cell, lr)


def _refuse_equal_runs(runs: Iterable[PlannedRun]) -> None:
    """Two runs with one folder would be one: their columns are the same."""
    owners: dict[Path, PlannedRun] = {}
    for run in runs:
        path = run.folder.path
        other = owners.setdefault(path, run)
        if other is not run:
            raise UserError(
                f"{run.row}: the runs of {other.label!r} and of {run.label!r} are the same "
                f"({path.name}); leave one of them out"
            )
