"""Rows to Weights & Biases, which may fail without a run noticing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

from experiments.loggers.base import Row, RunInfo

Mode = Literal["online", "offline"]


class WandbLogger:
    """One wandb run for one run, in the run's folder.

    It never asks anything: online without a key becomes offline. It never ends a run: the first
    exception from wandb is one line on standard error, and wandb sees nothing more of the run.
    """

    def __init__(self, mode: Mode, *, project: str, entity: str | None) -> None:
        self._mode: Mode = mode
        self._project = project
        self._entity = entity
        self._run: Any = None

    def start(self, info: RunInfo) -> None:
        """Begin the wandb run, or go on with the one of the same hash."""
        self._guarded(lambda: self._start(info))

    def step(self, row: Row) -> None:
        """Log the row under `train/`."""
        self._log("train", row)

    def evaluation(self, row: Row) -> None:
        """Log the row under `evaluation/`."""
        self._log("evaluation", row)

    def finish(self, summary: Row) -> None:
        """Hand the summary over and end the wandb run; a broken run is marked as failed."""
        if self._run is not None:
            exit_code = 0 if summary["status"] == "finished" else 1
            self._guarded(lambda: self._finish(summary, exit_code))
        self._run = None

    def _start(self, info: RunInfo) -> None:
        import wandb

        if self._mode == "online" and not wandb.login(prompt=False, verify=False):
            warn("wandb has no key (`wandb login` stores one); logging offline")
            self._mode = "offline"
        self._run = wandb.init(
            mode=self._mode,
            project=self._project,
            entity=self._entity,
            dir=str(info.folder.path),
            id=info.identifier,
            resume="allow" if self._mode == "online" else None,
            reinit="finish_previous",
            group=f"{info.experiment}/{info.task}-{info.model}",
            job_type=info.optimizer,
            name=info.name,
            config=dict(info.config),
            settings=wandb.Settings(silent=True, console="off", init_timeout=30.0),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def _log(self, prefix: str, row: Row) -> None:
        if self._run is None:
            return
        values = {
            f"{prefix}/{name}": value
            for name, value in row.items()
            if name not in ("event", "step") and value is not None
        }
        self._guarded(lambda: self._run.log({"step": row["step"], **values}))

    def _finish(self, summary: Row, exit_code: int) -> None:
        self._run.summary.update(summary)
        self._run.finish(exit_code=exit_code)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warn(f"wandb failed ({reason}); training goes on without it")
            self._run = None


def warn(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()
