"""The runs of a sweep's cells: their arguments and configs, composed once per cell. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.config.arguments import argument_of, flat
from experiments.config.compose import load, run_path
from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.optimizers.shared import Scheduled
from experiments.sweep.read import ReadSweep
from experiments.sweep.schema import OptimizerEntry, Settings

Stage = Literal["tuning", "comparison"]


@dataclass(frozen=True)
class PlannedRun:
    """A run of the sweep: what to start, and where it lies."""

    stage: Stage
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

    @property
    def recommended_rate(self) -> float | None:
        """The optimizer's peak rate; None where it has none."""
        optimizer = self.config.optimizer
        return optimizer.lr if isinstance(optimizer, Scheduled) else None

    def runs(
        self,
        stage: Stage,
        seeds: Sequence[int],
        *,
        results_dir: str,
        lr: float | None = None,
        hold_out: float | None = None,
    ) -> Iterator[PlannedRun]:
        """A run for each seed; None leaves a setting as it is."""
        config = self.config.model_copy(update={"results_dir": results_dir})
        arguments = dict(self.arguments)
        _set(arguments, "results_dir", results_dir)
        if lr is not None:
            _set(arguments, "optimizer.lr", lr)
            optimizer = config.optimizer.model_copy(update={"lr": lr})
            config = config.model_copy(update={"optimizer": optimizer})
        if hold_out is not None:
            _set(arguments, "trainer.hold_out", hold_out)
            trainer = config.trainer.model_copy(update={"hold_out": hold_out})
            config = config.model_copy(update={"trainer": trainer})
        for seed in seeds:
            words = (*arguments.values(), f"seed={seed}")
            seeded = config.model_copy(update={"seed": seed})
            yield PlannedRun(stage, self.row, self.label, lr, words, seeded)


def cells_of(read: ReadSweep, root: Path, environ: Mapping[str, str]) -> Iterator[Cell]:
    """All cells in the order of the tables: rows, then columns.

    Raises:
        UserError: for settings that do not fit, as main.py reports it.
    """
    for name in read.config.experiments:
        for column in read.config.optimizers:
            yield _cell(read, name, {"experiment": name}, {}, column, root, environ)
    for entry in read.config.tasks:
        files = {"task": entry.task, "model": entry.model}
        for column in read.config.optimizers:
            yield _cell(read, entry.row, files, entry.settings, column, root, environ)


def _cell(
    read: ReadSweep,
    row: str,
    files: Mapping[str, str],
    settings: Settings,
    column: OptimizerEntry,
    root: Path,
    environ: Mapping[str, str],
) -> Cell:
    chosen = [f"{group}={name}" for group, name in {**files, "optimizer": column.name}.items()]
    arguments = {argument.partition("=")[0]: argument for argument in chosen}
    own = {f"optimizer.{key}": value for key, value in column.settings.items()}
    for values in (read.config.settings, settings, own):
        for key, value in values.items():
            _set(arguments, key, value)
    for key, argument in read.run_arguments.items():
        arguments.pop(key, None)
        arguments[key] = argument
    first = {**arguments, "seed": f"seed={read.config.seeds[0]}"}
    _set(first, "results_dir", read.config.results_dir)
    try:
        config = load(tuple(first.values()), root, environ)
    except UserError as error:
        # If the command line alone is wrong too, report it as main.py does.
        load((*chosen, *read.run_arguments.values()), root, environ)
        text = str(error).replace(" (command line)", "", 1)
        raise UserError(f"{read.source}, {row} with {column.column}: {text}") from error
    return Cell(row, column.column, arguments, config)


def _set(arguments: dict[str, str], key: str, value: Any) -> None:
    """Set a key, or the keys of a block, last, so that a later one wins."""
    for name, inner in flat(key, value):
        arguments.pop(name, None)
        arguments[name] = argument_of(name, inner)
