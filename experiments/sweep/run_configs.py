"""From a sweep's cells to the arguments and configs of their runs. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.config.arguments import argument_of, flat
from experiments.config.compose import load
from experiments.config.schema import RunConfig, Scheduled
from experiments.errors import UserError
from experiments.sweep.read import ReadSweep
from experiments.sweep.schema import OptimizerEntry, Settings

ArgumentsAndConfig = tuple[tuple[str, ...], RunConfig]


@dataclass(frozen=True)
class CellConfig:
    """A row and a column of the tables with the config of its first seed."""

    row: str
    label: str
    arguments: Mapping[str, str]
    """key → `key=value`, without what differs from run to run."""
    config: RunConfig

    plain: bool
    """No key refers to what differs from run to run, so that configs are copies with changes."""

    @property
    def recommended_rate(self) -> float | None:
        """The optimizer's peak rate; None where it has none."""
        optimizer = self.config.optimizer
        return optimizer.lr if isinstance(optimizer, Scheduled) else None


@dataclass(frozen=True)
class _Changes:
    """What differs from run to run besides the seed; None leaves a setting as it is."""

    results_dir: str
    lr: float | None
    hold_out: float | None

    def arguments(self, said: Mapping[str, str]) -> tuple[str, ...]:
        """`said` and the changes, for main.py."""
        said = dict(said)
        _say(said, "results_dir", self.results_dir)
        if self.lr is not None:
            _say(said, "optimizer.lr", self.lr)
        if self.hold_out is not None:
            _say(said, "trainer.hold_out", self.hold_out)
        return tuple(said.values())

    def applied_to(self, config: RunConfig, seed: int) -> RunConfig:
        """What main.py makes of them, where no other key refers to theirs; fast."""
        optimizer, trainer = config.optimizer, config.trainer
        if self.lr is not None:
            optimizer = optimizer.model_copy(update={"lr": self.lr})
        if self.hold_out is not None:
            trainer = trainer.model_copy(update={"hold_out": self.hold_out})
        return config.model_copy(
            update={
                "seed": seed,
                "results_dir": self.results_dir,
                "optimizer": optimizer,
                "trainer": trainer,
            }
        )


class Composer:
    """Makes the configs of a sweep's runs: composed twice a cell, copied for the others."""

    def __init__(self, read: ReadSweep, root: Path, environ: Mapping[str, str]) -> None:
        self.source = read.source
        self._read = read
        self._root = root
        self._environ = environ

    def cells(self) -> tuple[CellConfig, ...]:
        """All cells in the order of the tables: rows, then columns.

        Raises:
            UserError: for settings that do not fit, as main.py tells it.
        """
        config = self._read.config
        rows: list[tuple[str, dict[str, str], Settings]] = [
            (name, {"experiment": f"experiment={name}"}, {}) for name in config.experiments
        ]
        for entry in config.tasks:
            chosen = {"task": f"task={entry.task}", "model": f"model={entry.model}"}
            rows.append((entry.row, chosen, entry.settings))
        return tuple(
            self._cell(row, chosen, settings, column)
            for row, chosen, settings in rows
            for column in config.optimizers
        )

    def runs(
        self,
        cell: CellConfig,
        seeds: Sequence[int],
        *,
        lr: float | None,
        results_dir: str,
        hold_out: float | None,
    ) -> tuple[ArgumentsAndConfig, ...]:
        """Arguments and config of the cell's runs, one a seed; None leaves a setting as it is."""
        changes = _Changes(results_dir, lr, hold_out)
        words = changes.arguments(cell.arguments)
        return tuple(
            (
                (*words, f"seed={seed}"),
                changes.applied_to(cell.config, seed)
                if cell.plain
                else self._load((*words, f"seed={seed}")),
            )
            for seed in seeds
        )

    def _load(self, arguments: tuple[str, ...]) -> RunConfig:
        return load(arguments, self._root, self._environ)

    def _cell(
        self, row: str, chosen: dict[str, str], settings: Settings, column: OptimizerEntry
    ) -> CellConfig:
        chosen = {**chosen, "optimizer": f"optimizer={column.name}"}
        said = dict(chosen)
        own = {f"optimizer.{key}": value for key, value in column.settings.items()}
        for values in (self._read.config.settings, settings, own):
            for key, value in values.items():
                _say(said, key, value)
        for key, argument in self._read.run_arguments.items():
            said.pop(key, None)
            said[key] = argument
        seed = f"seed={self._read.config.seeds[0]}"
        place = {"results_dir": argument_of("results_dir", self._read.config.results_dir)}
        try:
            config = self._load((*{**said, **place}.values(), seed))
        except UserError as error:
            # If the command line alone is wrong too, that is what main.py would say of it.
            self._load((*chosen.values(), *self._read.run_arguments.values()))
            text = str(error).replace(" (command line)", "", 1)
            raise UserError(f"{self.source}, {row} with {column.column}: {text}") from error
        return CellConfig(row, column.column, said, config, self._is_plain(said, config))

    def _is_plain(self, arguments: Mapping[str, str], config: RunConfig) -> bool:
        """Compose once more with everything changed that differs from run to run."""
        optimizer = config.optimizer
        lr = optimizer.lr * 2 if isinstance(optimizer, Scheduled) else None
        changes = _Changes(f"{config.results_dir}/elsewhere", lr, 0.25)
        seed = (config.seed + 1) % 2**32
        try:
            other = self._load((*changes.arguments(arguments), f"seed={seed}"))
        except UserError:
            return False
        return other == changes.applied_to(config, seed)


def _say(said: dict[str, str], key: str, value: Any) -> None:
    """Set a key, or the keys of a block, as the last word."""
    for name, inner in flat(key, value):
        said.pop(name, None)
        said[name] = argument_of(name, inner)
