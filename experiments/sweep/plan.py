"""A sweep, resolved: the runs of its two stages, in the order of its file. No torch.

The plan's file is the contract with the report:
`{"sweep": name, "cells": [...], "tuning": [...], "tuned_by": {...}, "winners": [...]}`, see
`docs/architecture.md`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments.config.compose import NO_EXPERIMENT, run_path
from experiments.config.home import with_home
from experiments.config.schema import RunConfig
from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError
from experiments.files.atomic import DiskError, atomic_file, disk
from experiments.files.run_folder import RunFolder, json_text
from experiments.sweep.read import read_sweep
from experiments.sweep.run_configs import CellConfig, Composer
from experiments.sweep.run_state import summary_of
from experiments.sweep.schema import Grid, LauncherSettings, SweepConfig, Tuning
from experiments.sweep.tuning import Best, Trial, UntunedError, best_rate

TUNING_FOLDER = "tuning"


@dataclass(frozen=True)
class PlannedRun:
    """A run of the sweep: what to start, and where it lies."""

    stage: Literal["tuning", "comparison"]
    row: str
    """The experiment's name, or `<task>-<model>` (slashes as in `run_path`) where there is none."""
    label: str
    """The optimizer's column: its file's name, or the label that the sweep gives it."""
    arguments: tuple[str, ...]
    """Of main.py, one a word, not quoted for a shell."""
    config: RunConfig

    @property
    def folder(self) -> RunFolder:
        """The run's folder; it need not exist."""
        return RunFolder(run_path(self.config))


@dataclass(frozen=True)
class Cell:
    """A row and a column of the tables, and why its runs are not known yet."""

    row: str
    label: str
    reason: str = ""


class _Tried(NamedTuple):
    """A run of the tuning stage; without a rate of its own it is a reference's."""

    cell: CellConfig
    lr: float | None
    run: PlannedRun


def load_sweep(
    name: str | None,
    family: str,
    arguments: Sequence[str],
    root: Path = CONFIG_ROOT,
    environ: Mapping[str, str] = os.environ,
) -> Sweep:
    """The sweep that `key=value` arguments make of a file below `root/sweep`.

    Without a name that is the family's (`text`, `images`), `cpu` is the family's small one. The
    configs of all runs are composed here, but for the rates that tuning has to find.

    Raises:
        UserError: in one line, for everything that is wrong with arguments or files.
    """
    read = read_sweep(name, family, arguments, root)
    composer = Composer(read, root, environ)
    return Sweep(read.name, read.config, composer)


class Sweep:
    """A sweep's runs. What depends on runs that have ended is read from their folders anew."""

    def __init__(self, name: str, config: SweepConfig, composer: Composer) -> None:
        """Compose every config once; raises `UserError` for what is wrong with one of them."""
        self.name = name
        self.config = config
        self.results_dir = Path(with_home(config.results_dir, "results_dir"))
        self.launcher: LauncherSettings = config.launcher
        self._composer = composer
        self._cells = composer.cells()
        for cell in self._cells:
            if self._grid(cell) is not None and cell.recommended_rate is None:
                raise UserError(
                    f"tuning.optimizers.{cell.label} ({composer.source}): has no rate to tune"
                )
        self._tried = tuple(run for cell in self._cells for run in self._tuning_of(cell))
        _refuse_equal_runs([*self.tuning_runs(), *self._possible_comparison_runs()])

    # ---------------------------------------------------------------------------------- stages

    def tuning_runs(self) -> tuple[PlannedRun, ...]:
        """The runs of the tuning stage, those of the reference among them."""
        return tuple(tried.run for tried in self._tried)

    def comparison_runs(self) -> tuple[PlannedRun, ...]:
        """The runs whose rate is known: of tuned columns those whose tuning runs have all ended."""
        runs: list[PlannedRun] = []
        for cell in self._cells:
            best = self._best(cell)
            if not isinstance(best, UntunedError):
                runs += self._compared(cell, None if best is None else best.lr)
        return tuple(runs)

    def untuned(self) -> tuple[Cell, ...]:
        """The cells that wait for their tuning, or whose tuning found no rate."""
        answers = [(cell, self._best(cell)) for cell in self._cells]
        return tuple(
            Cell(cell.row, cell.label, str(best))
            for cell, best in answers
            if isinstance(best, UntunedError)
        )

    # ------------------------------------------------------------------------------- plan's file

    def write_plan(self) -> Path:
        """Write `<results_dir>/plans/<name>.json`, atomically; returns its path."""
        path = self.results_dir / "plans" / f"{self.name}.json"
        try:
            with disk(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                file.write((json_text(self._plan(), indent=2) + "\n").encode())
        except DiskError as error:
            raise UserError(f"results_dir: cannot write {path}: {error.reason}") from error
        return path

    def _plan(self) -> dict[str, Any]:
        cells, winners = [], []
        for cell in self._cells:
            best = self._best(cell)
            cells.append(self._cell_entry(cell, best))
            if isinstance(best, Best):
                winners.append(
                    {
                        "row": cell.row,
                        "label": cell.label,
                        "lr": best.lr,
                        "score": best.score,
                        "score_name": best.score_name,
                        "runs": best.runs,
                        "steps": best.steps,
                    }
                )
        tuning = [
            {
                "row": tried.run.row,
                "label": tried.run.label,
                "optimizer": tried.run.config.optimizer.kind,
                "lr": tried.lr,
                "seed": tried.run.config.seed,
                "folder": self._relative(tried.run),
                "reference": tried.lr is None,
            }
            for tried in self._tried
        ]
        stage = self.config.tuning
        return {
            "sweep": self.name,
            "cells": cells,
            "tuning": tuning,
            "tuned_by": None if stage is None else stage.model_dump(include={"score", "hold_out"}),
            "winners": winners,
        }

    def _cell_entry(self, cell: CellConfig, best: Best | UntunedError | None) -> dict[str, Any]:
        choices = cell.config.choices
        folders: list[str | None] = [None for _ in self.config.seeds]
        if not isinstance(best, UntunedError):
            runs = self._compared(cell, None if best is None else best.lr)
            folders = [self._relative(run) for run in runs]
        return {
            "row": cell.row,
            "label": cell.label,
            "optimizer": cell.config.optimizer.kind,
            "task": choices.task,
            "model": choices.model,
            "experiment": None if choices.experiment == NO_EXPERIMENT else choices.experiment,
            "seeds": list(self.config.seeds),
            "folders": folders,
            "tuned": best is not None,
        }

    def _relative(self, run: PlannedRun) -> str:
        return run.folder.path.relative_to(self.results_dir).as_posix()

    # ------------------------------------------------------------------------------------- cells

    def _stage(self, cell: CellConfig) -> Tuning | None:
        """The tuning stage, if it concerns the cell's row."""
        tuning = self.config.tuning
        if tuning is None or (tuning.rows is not None and cell.row not in tuning.rows):
            return None
        return tuning

    def _grid(self, cell: CellConfig) -> Grid | None:
        stage = self._stage(cell)
        return None if stage is None else stage.optimizers.get(cell.label)

    def _rates(self, cell: CellConfig) -> tuple[float | None, ...]:
        """The rates to try; None is a reference's, which is left as it is."""
        grid, stage = self._grid(cell), self._stage(cell)
        if grid is not None and cell.recommended_rate is not None:
            return grid.rates(cell.recommended_rate)
        return (None,) if stage is not None and cell.label in stage.reference else ()

    def _tuning_of(self, cell: CellConfig) -> Iterator[_Tried]:
        stage = self._stage(cell)
        if stage is None:
            return
        folder = str(self.results_dir / TUNING_FOLDER)
        for lr in self._rates(cell):
            runs = self._composer.runs(
                cell, stage.seeds, lr=lr, results_dir=folder, hold_out=stage.hold_out
            )
            for arguments, config in runs:
                run = PlannedRun("tuning", cell.row, cell.label, arguments, config)
                yield _Tried(cell, lr, run)

    def _best(self, cell: CellConfig) -> Best | UntunedError | None:
        """The best rate, why there is none yet, or None for a cell that is not tuned."""
        stage = self._stage(cell)
        if stage is None or cell.label not in stage.optimizers:
            return None
        trials = [
            Trial(tried.lr, summary_of(tried.run.folder))
            for tried in self._tried
            if tried.cell is cell and tried.lr is not None
        ]
        try:
            return best_rate(trials, stage.score)
        except UntunedError as error:
            return error

    def _compared(self, cell: CellConfig, lr: float | None = None) -> tuple[PlannedRun, ...]:
        """The cell's runs of the comparison, with the rate `lr`, None: the recommended one."""
        runs = self._composer.runs(
            cell, self.config.seeds, lr=lr, results_dir=self.config.results_dir, hold_out=None
        )
        return tuple(
            PlannedRun("comparison", cell.row, cell.label, arguments, config)
            for arguments, config in runs
        )

    def _possible_comparison_runs(self) -> Iterator[PlannedRun]:
        """What the comparison may hold, as far as columns could be the same."""
        files = Counter(entry.name for entry in self.config.optimizers)
        for cell in self._cells:
            alone = files[cell.config.choices.optimizer] == 1
            rates = (None,) if alone or self._grid(cell) is None else self._rates(cell)
            for lr in rates:
                yield from self._compared(cell, lr)


def _refuse_equal_runs(runs: Sequence[PlannedRun]) -> None:
    """Two runs of one folder would be one; the columns that make them are the same."""
    owners: dict[Path, PlannedRun] = {}
    for run in runs:
        path = run.folder.path
        if path in owners:
            other = owners[path]
            raise UserError(
                f"{run.row}: the runs of {other.label!r} and of {run.label!r} are the same "
                f"({path.name}); leave one of them out"
            )
        owners[path] = run
