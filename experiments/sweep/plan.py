"""The runs of a sweep: its cells, the runs of its two stages, in order, and its plan. No torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from experiments.config.arguments import argument_of, flat
from experiments.config.compose import load, run_path
from experiments.config.schema import RunConfig
from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError
from experiments.files.plan_file import (
    PlanCell,
    PlanTunedBy,
    PlanTuningRun,
    PlanWinner,
    SweepPlan,
    plan_file,
    read_plan,
)
from experiments.files.run_folder import NO_EXPERIMENT, RunFolder
from experiments.optimizers.shared import Scheduled
from experiments.settings import with_home
from experiments.sweep.joined_plan import Place, joined
from experiments.sweep.read import ReadSweep, read_sweep
from experiments.sweep.schema import Settings
from experiments.tuning import Best, best_rate


@dataclass(frozen=True)
class PlannedRun:
    """A run of the sweep: what to start, and where it lies."""

    stage: str
    """`tuning` or `comparison`."""
    row: str
    label: str
    lr: float | None
    """The rate that the stage sets; None: the recommended one."""
    arguments: tuple[str, ...]
    """Of main.py, one a word, not quoted for a shell."""
    config: RunConfig

    @property
    def folder(self) -> RunFolder:
        """The run's folder; it need not exist."""
        return RunFolder(run_path(self.config))


@dataclass(frozen=True)
class Cell:
    """A row and a column of the tables with the config of its first seed."""

    row: str
    """The experiment's name, or `<task>-<model>` (slashes as in `run_path`) where there is none."""
    label: str
    """The optimizer's column: its file's name, or the label that the sweep gives it."""
    arguments: Mapping[str, str]
    """key → `key=value`, without what differs from run to run."""
    config: RunConfig

    def runs(
        self,
        stage: str,
        seeds: Sequence[int],
        *,
        results_dir: str,
        lr: float | None = None,
        hold_out: float | None = None,
    ) -> Iterator[PlannedRun]:
        """A run for each seed; None leaves a setting as it is."""
        arguments, config = dict(self.arguments), self.config
        changes = {"results_dir": results_dir, "optimizer.lr": lr, "trainer.hold_out": hold_out}
        for key, value in changes.items():
            if value is not None:
                _set(arguments, key, value)
                section, _, name = key.rpartition(".")
                update: dict[str, Any] = {name: value}
                if section:
                    update = {section: getattr(config, section).model_copy(update=update)}
                config = config.model_copy(update=update)
        for seed in seeds:
            words = (*arguments.values(), f"seed={seed}")
            seeded = config.model_copy(update={"seed": seed})
            yield PlannedRun(stage, self.row, self.label, lr, words, seeded)


class Sweep:
    """A sweep's runs. What depends on finished runs is read from their folders at each call."""

    def __init__(self, read: ReadSweep, cells: Sequence[Cell]) -> None:
        self.name = read.name
        self.config = read.config
        self.results_dir = Path(with_home(read.config.results_dir, "results_dir"))
        self.launcher = read.config.launcher
        self._source = read.source
        self._is_part = read.is_part
        self._cells = cells
        self._tuning_runs = tuple(self._planned_tuning_runs())
        self._refuse_equal_runs()

    def tuning_runs(self) -> tuple[PlannedRun, ...]:
        """The runs of the tuning stage, reference runs included."""
        return self._tuning_runs

    def comparison_runs(self) -> tuple[PlannedRun, ...]:
        """The runs whose rate is known: of tuned columns those whose tuning runs have all ended."""
        seeds = self.config.seeds
        return tuple(
            run for cell, best in self._bests() for run in self._compared(cell, best, seeds)
        )

    def untuned(self) -> list[tuple[str, str, str]]:
        """Row, column and reason of each cell that waits for tuning, or has found no rate by it."""
        return [(c.row, c.label, best) for c, best in self._bests() if isinstance(best, str)]

    # ------------------------------------------------------------------------------------- plan

    def plan(self) -> SweepPlan:
        """What is known of all runs by now."""
        tuning, bests = self.config.tuning, self._bests()
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
            targets=self.config.targets,
            tuned_by=PlanTunedBy(score=tuning.score, hold_out=tuning.hold_out) if tuning else None,
            winners=[
                PlanWinner(row=cell.row, label=cell.label, **asdict(best))
                for cell, best in bests
                if isinstance(best, Best)
            ],
        )

    def with_earlier(self, plan: SweepPlan) -> SweepPlan:
        """The plan for the sweep's file: joined, if the command line chose rows, columns or seeds,
        with the plan that is there.
        """
        earlier = None
        if self._is_part:
            with suppress(UserError):  # a broken one is written anew
                earlier = read_plan(plan_file(self.results_dir, self.name))
        if earlier is None:
            return plan
        bests = {(cell.row, cell.label): (cell, best) for cell, best in self._bests()}

        def folders_of(place: Place, seeds: Sequence[int]) -> Sequence[str | None]:
            return self._folders(*bests[place], seeds)

        return joined(plan, earlier, folders_of)

    def _plan_cell(self, cell: Cell, best: Best | str | None) -> PlanCell:
        choices = cell.config.choices
        return PlanCell(
            row=cell.row,
            label=cell.label,
            optimizer=cell.config.optimizer.kind,
            task=choices.task,
            model=choices.model,
            experiment=None if choices.experiment == NO_EXPERIMENT else choices.experiment,
            seeds=list(self.config.seeds),
            folders=self._folders(cell, best, self.config.seeds),
            tuned=best is not None,
        )

    def _folders(
        self, cell: Cell, best: Best | str | None, seeds: Sequence[int]
    ) -> list[str | None]:
        """The folders of a cell's runs of the comparison; None before its rate is known."""
        runs = self._compared(cell, best, seeds)
        return [*map(self._relative, runs)] or [None for _ in seeds]

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

    def _bests(self) -> list[tuple[Cell, Best | str | None]]:
        """Each cell with its best rate, why it has none yet, or None where it is not tuned."""
        trials: dict[tuple[str, str], list[tuple[float, dict[str, Any] | None]]] = {}
        for run in self._tuning_runs:
            if run.lr is not None:
                summary = None
                with suppress(UserError):  # a broken one is reported when its run's turn comes
                    summary = run.folder.summary()
                trials.setdefault((run.row, run.label), []).append((run.lr, summary))
        decider = self.config.tuning.score if self.config.tuning else "score"
        bests = {place: best_rate(tried, decider) for place, tried in trials.items()}
        return [(cell, bests.get((cell.row, cell.label))) for cell in self._cells]

    def _compared(
        self, cell: Cell, best: Best | str | None, seeds: Sequence[int]
    ) -> Iterable[PlannedRun]:
        """The cell's runs of the comparison; none before its rate is known."""
        if isinstance(best, str):
            return ()
        return self._comparison(cell, None if best is None else best.lr, seeds)

    def _comparison(
        self, cell: Cell, lr: float | None, seeds: Sequence[int]
    ) -> Iterator[PlannedRun]:
        return cell.runs("comparison", seeds, results_dir=self.config.results_dir, lr=lr)

    def _refuse_equal_runs(self) -> None:
        """Two runs with one folder would be one: their columns are the same."""
        runs = list(self._tuning_runs)
        files = Counter(entry.name for entry in self.config.optimizers)
        for cell in self._cells:
            # Tuning may choose any of its rates, which matters where columns have the same file.
            alone = files[cell.config.choices.optimizer] == 1
            for lr in (() if alone else self._rates(cell)) or (None,):
                runs += self._comparison(cell, lr, self.config.seeds)
        owners: dict[Path, PlannedRun] = {}
        for run in runs:
            path = run.folder.path
            other = owners.setdefault(path, run)
            if other is not run:
                raise UserError(
                    f"{run.row}: the runs of {other.label!r} and of {run.label!r} are the same "
                    f"({path.name}); leave one of them out"
                )


def load_sweep(
    name: str | None,
    family: str,
    arguments: Sequence[str],
    root: Path = CONFIG_ROOT,
    environ: Mapping[str, str] = os.environ,
) -> Sweep:
    """The sweep that `key=value` arguments make of a file below `root/sweep`.

    The default name is the family's (`text`, `images`); `cpu` is the family's small one. The
    configs of all runs are composed here, but for the rates that tuning has to find. Raises
    `UserError`, in one line, for every error in arguments or files.
    """
    read = read_sweep(name, family, arguments, root)
    return Sweep(read, tuple(cells_of(read, root, environ)))


def cells_of(read: ReadSweep, root: Path, environ: Mapping[str, str]) -> Iterator[Cell]:
    """All cells in the order of the tables; `UserError` for settings that do not fit."""
    sweep, of_runs = read.config, read.run_arguments
    rows: list[tuple[str, list[str], Settings]] = [
        *((name, [f"experiment={name}"], {}) for name in sweep.experiments),
        *((e.row, [f"task={e.task}", f"model={e.model}"], e.settings) for e in sweep.tasks),
    ]
    for (row, files, settings), column in product(rows, sweep.optimizers):
        chosen = [*files, f"optimizer={column.name}"]
        arguments = {argument.partition("=")[0]: argument for argument in chosen}
        own = {f"optimizer.{key}": value for key, value in column.settings.items()}
        for key, value in (*sweep.settings.items(), *settings.items(), *own.items()):
            _set(arguments, key, value)
        # Last, as on main.py's command line.
        kept = {key: argument for key, argument in arguments.items() if key not in of_runs}
        arguments = {**kept, **of_runs}
        first = {**arguments, "seed": f"seed={sweep.seeds[0]}"}
        _set(first, "results_dir", sweep.results_dir)
        try:
            config = load(tuple(first.values()), root, environ)
        except UserError as error:
            # If the command line alone is wrong too, report it as main.py does.
            load((*chosen, *of_runs.values()), root, environ)
            text = str(error).replace(" (command line)", "", 1)
            raise UserError(f"{read.source}, {row} with {column.column}: {text}") from error
        yield Cell(row, column.column, arguments, config)


def _set(arguments: dict[str, str], key: str, value: Any) -> None:
    """Set a key, or the keys of a block, last, so that a later one wins."""
    for name, inner in flat(key, value):
        arguments.pop(name, None)
        arguments[name] = argument_of(name, inner)
