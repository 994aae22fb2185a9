"""The shapes of the files in a folder of results: what readers rely on; other keys are free."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from experiments.tuning import Decider

Number = float | None
"""None: it was not finite."""
Count = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(max_length=255)]


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class Anything(_Stored):
    """Any mapping."""


class Summary(_Stored):
    """`summary.json`; earlier versions say less."""

    score: Name = ""
    score_is_loss: bool = False
    final: dict[str, Number] | None = None
    best: dict[str, Number] | None = None
    steps: Count | None = None
    steps_refused: Count | None = None
    epochs: Number = None
    seconds_training: Number = None
    seconds_total: Number = None
    forward_passes: Number = None
    backward_passes: Number = None


class ReportedSummary(Summary):
    """A summary that a report can use."""

    score: Name
    final: dict[str, Number]
    best: dict[str, Number]


class Environment(_Stored):
    """`env.json`; what `git` says is looked at by itself."""

    sls: Name | None = None
    torch: Name | None = None
    torchvision: Name | None = None
    transformers: Name | None = None
    numpy: Name | None = None
    python: Name | None = None
    device_name: Name | None = None


class Git(_Stored):
    """`git` of `env.json`."""

    commit: Name | None = None
    dirty: bool | None = None


class Plan(_Stored):
    """`plan.json` of a run."""

    total_steps: Count | None = None
    steps_per_epoch: Count | None = None


class Failure(_Stored):
    """`failure.json`."""

    exit_code: int = 1
    attempts: Count = 0
    reason: str = ""
    output: list[str] = []


class Line(_Stored):
    """A line of `metrics.jsonl`, whatever it is about."""

    event: str | None = None
    step: Count | None = None
    forward_passes: Count = 0
    backward_passes: Count = 0
    epoch: Number = None
    seconds: Number = None
    loss: Number = None
    step_size: Number = None
    factor: Number = None
    trials: Number = None
    train_loss: Number = None
    val_loss: Number = None
    searched: bool | None = None
    status: str | None = None


class Row(Line):
    """A line about a step or an evaluation."""

    event: Literal["step", "evaluation"]
    step: Count


class CountedRow(Row):
    """A row as a report needs it."""

    forward_passes: Count
    backward_passes: Count


class _Choices(_Stored):
    experiment: Name
    task: Name
    model: Name
    optimizer: Name


class _Optimizer(_Stored):
    kind: Name
    lr: Number = None


class _Trainer(_Stored):
    hold_out: Number = None


class ReportedConfig(_Stored):
    """`config.yaml` of a run that a report can use."""

    choices: _Choices
    optimizer: _Optimizer
    seed: int
    trainer: _Trainer | None = None


# --------------------------------------------------------------------------- a sweep's plan's file


def _is_below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or len(folder) > 4000:
        raise ValueError("must be a path below the folder of the results")
    return folder


Folder = Annotated[str, AfterValidator(_is_below)]


class PlanCell(_Stored):
    """A row and a column of the tables: one folder a seed."""

    row: Name
    label: Name
    optimizer: Name = ""
    seeds: list[int]
    folders: list[Folder | None]
    tuned: bool = False

    @model_validator(mode="after")
    def _a_folder_a_seed(self) -> PlanCell:
        if len(self.seeds) != len(self.folders):
            raise ValueError(f"{len(self.seeds)} seeds, but {len(self.folders)} folders")
        return self


class PlanTuningRun(_Stored):
    """A run that tries a rate, or a reference beside them, which has none."""

    row: Name
    label: Name
    folder: Folder
    lr: float | None = None
    seed: int = 0
    reference: bool = False


class PlanTunedBy(_Stored):
    """What decides between rates."""

    score: Decider


class SweepPlan(_Stored):
    """`plans/<sweep>.json`."""

    sweep: Name
    cells: list[PlanCell]
    tuning: list[PlanTuningRun] = []
    tuned_by: PlanTunedBy | None = None
    winners: Any = None
