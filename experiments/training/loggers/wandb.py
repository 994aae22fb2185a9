"""Weights & Biases: the rows of a run, on its pages or in its offline files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.config.compose import config_hash
from experiments.config.schema import Logger as LoggerSettings
from experiments.files.run_folder import run_name
from experiments.training.loggers.base import Logger, Row, RunInfo, warn

# The horizontal axes; every metric may be drawn against each of them.
AXES = ("step", "epoch", "seconds", "forward_passes")

# Commit, device and versions are in the run's `env.json`; the host's name, the command line, paths
# of programs, the repository's address and its user are kept private.
_SETTINGS: dict[str, Any] = {"silent": True, "console": "off", "init_timeout": 30.0}
_SETTINGS |= {"x_disable_meta": True, "disable_git": True, "host": ""}


class WandbLogger(Logger):
    """One wandb run for one run, in the run's folder.

    It never asks anything: online without a key becomes offline.

    wandb's own step is the number of the training step, so that rows it has are known. A
    resumed run hands all earlier rows over once more: wandb's offline folder of each process then
    holds the run from its start, and what was never uploaded is not lost.
    """

    name = "wandb"

    def __init__(self, settings: LoggerSettings) -> None:
        self._settings = settings
        self._run: Any = None
        self._lower_is_better: frozenset[str] = frozenset()
        self._defined: set[str] = set()

    def start(self, info: RunInfo) -> None:
        """Begin the wandb run, or go on with the one of the same folder."""
        import wandb

        mode = self._settings.wandb
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            warn("wandb has no key (`wandb login` stores one); logging offline")
            mode = "offline"
        config = info.config
        names = config.choices
        stage = "comparison" if config.trainer.hold_out is None else "tuning"
        self._run = wandb.init(
            mode=mode,
            project=self._settings.wandb_project,
            entity=self._settings.wandb_entity,
            dir=str(info.folder.path),
            # The folder's own path: the same run again is the same wandb run.
            id=run_name(info.folder.path),
            resume="allow" if mode == "online" else None,
            reinit="finish_previous",
            group=f"{names.experiment}/{names.task}/{names.model}",
            job_type=names.optimizer,
            name=f"{names.optimizer}-s{config.seed}",
            tags=[config_hash(config), stage],
            config=config.model_dump(),
            settings=wandb.Settings(**_SETTINGS),
        )
        self._lower_is_better = info.lower_is_better
        for axis in AXES:
            self._run.define_metric(axis)
        self._run.define_metric("train/*", step_metric="step")
        self._run.define_metric("train/loss", step_metric="step", summary="last,min")
        if info.first_step > 0:
            for row in info.folder.readable_rows()[0]:
                (self.step if row["event"] == "step" else self.evaluation)(row)

    def step(self, row: Row) -> None:
        self._log("train", row)

    def evaluation(self, row: Row) -> None:
        """Log the row under `evaluation/`; wandb's summary has the last and the best of each."""
        for name in sorted(row.keys() - {"event", "backward_passes", *AXES} - self._defined):
            best = "min" if name in self._lower_is_better else "max"
            self._run.define_metric(
                f"evaluation/{name}", step_metric="step", summary=f"last,{best}"
            )
            self._defined.add(name)
        self._log("evaluation", row)

    def finish(self, summary: Row) -> None:
        """Hand the summary over and end the wandb run; a broken run is marked as failed."""
        flat: Row = {}
        for name, value in summary.items():
            if isinstance(value, Mapping):  # `best/accuracy` is a column of wandb's tables
                flat |= {f"{name}/{inner}": number for inner, number in value.items()}
            else:
                flat[name] = value
        self._run.summary.update(flat)
        self._run.finish(exit_code=0 if summary["status"] == "finished" else 1)

    def _log(self, prefix: str, row: Row) -> None:
        # A server refuses what it already has of a resumed run, with a warning per row.
        if row["step"] < self._run.starting_step:
            return
        values = {
            name if name in AXES else f"{prefix}/{name}": value
            for name, value in row.items()
            if name != "event" and value is not None
        }
        self._run.log(values, step=row["step"])
