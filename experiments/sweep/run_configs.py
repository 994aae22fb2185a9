"""The runs of a sweep's cells: their arguments and configs, composed once per cell. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from experiments.config.arguments import argument_of, flat
from experiments.config.compose import load, run_path
from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.sweep.read import ReadSweep
from experiments.sweep.schema import Settings

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


def cells_of(read: ReadSweep, root: Path, environ: Mapping[str, str]) -> Iterator[Cell]:
    """All cells in the order of the tables: rows, then columns.

    Raises:
        UserError: for settings that do not fit, as main.py reports it.
    """
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
