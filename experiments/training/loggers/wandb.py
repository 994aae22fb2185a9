"""Rows to Weights & Biases, which may fail without a run noticing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from experiments.files.run_folder import RunFolder
from experiments.training.loggers.base import Row, RunInfo
from experiments.training.loggers.shown import warn

Mode = Literal["online", "offline"]


# The horizontal axes; every metric may be drawn against each of them.
AXES = ("step", "epoch", "seconds", "forward_passes")


# Commit, device and versions are in the run's `env.json`; the host's name, the command line, paths
# of programs, the repository's address and who works in it are nobody's business.
_NOTHING_OF_THE_MACHINE: dict[str, Any] = {"x_disable_meta": True, "disable_git": True, "host": ""}


class WandbLogger:
    """One wandb run for one run, in the run's folder.

    It never asks anything: online without a key becomes offline. It never ends a run: the first
    exception from wandb is one line on standard error, and wandb sees nothing more of the run.

    wandb's own step is the number of the training step, so that rows it has are known. A
    resumed run hands all earlier rows over once more: wandb's offline folder of each process then
    holds the run from its start, and what was never uploaded is not lost.
    """

    def __init__(self, mode: Mode, *, project: str, entity: str | None) -> None:
        self._mode: Mode = mode
        self._project = project
        self._entity = entity
        self._run: Any = None
        self._lower_is_better: frozenset[str] = frozenset()
        self._defined: set[str] = set()

    def start(self, info: RunInfo) -> None:
        """Begin the wandb run, or go on with the one of the same hash."""
        self._guarded(lambda: self._start(info))
        if info.first_step > 0:
            self._guarded(lambda: self._hand_over(info.folder))

    def step(self, row: Row) -> None:
        """Log the row under `train/`."""
        self._log("train", row)

    def evaluation(self, row: Row) -> None:
        """Log the row under `evaluation/`."""
        self._guarded(lambda: self._define(row))
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
            group=f"{info.experiment}/{info.task}/{info.model}",
            job_type=info.optimizer,
            name=info.name,
            tags=[info.config_hash, "comparison" if info.hold_out is None else "tuning"],
            config=dict(info.config),
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=30.0, **_NOTHING_OF_THE_MACHINE
            ),
        )
        self._lower_is_better = info.lower_is_better
        for axis in AXES:
            self._run.define_metric(axis)
        self._run.define_metric("train/*", step_metric="step")
        self._run.define_metric("train/loss", step_metric="step", summary="last,min")

    def _hand_over(self, folder: RunFolder) -> None:
        log = {"step": self.step, "evaluation": self.evaluation}
        for row in folder.readable_rows()[0]:
            log[row["event"]](row)

    def _define(self, row: Row) -> None:
        """Let the summary have the last and the best of each of an evaluation's numbers."""
        if self._run is None:
            return
        for name in sorted(row.keys() - {"event", "backward_passes", *AXES} - self._defined):
            best = "min" if name in self._lower_is_better else "max"
            self._run.define_metric(
                f"evaluation/{name}", step_metric="step", summary=f"last,{best}"
            )
            self._defined.add(name)

    def _log(self, prefix: str, row: Row) -> None:
        # What a server has of a resumed run already it would refuse, with a warning a row.
        if self._run is None or row["step"] < self._run.starting_step:
            return
        values = {
            name if name in AXES else f"{prefix}/{name}": value
            for name, value in row.items()
            if name != "event" and value is not None
        }
        self._guarded(lambda: self._run.log(values, step=row["step"]))

    def _finish(self, summary: Row, exit_code: int) -> None:
        self._run.summary.update(_flat(summary))
        self._run.finish(exit_code=exit_code)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warn(f"wandb failed ({reason}); training goes on without it")
            self._run = None


def _flat(summary: Row) -> Row:
    """`{"best": {"accuracy": 1}}` as `{"best/accuracy": 1}`, a column of wandb's tables."""
    flat: Row = {}
    for name, value in summary.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": number for inner, number in value.items()}
        else:
            flat[name] = value
    return flat
