"""The shapes of the files in a folder of results: what readers rely on; other keys are free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = float | None
"""None: it was not finite."""
Count = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(max_length=255)]


class Stored(BaseModel):
    """A file, or a part of it, whose keys have these types."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class Anything(Stored):
    """Any mapping."""


class Summary(Stored):
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


class Environment(Stored):
    """`env.json`; what `git` says is looked at by itself."""

    sls: Name | None = None
    torch: Name | None = None
    torchvision: Name | None = None
    transformers: Name | None = None
    numpy: Name | None = None
    python: Name | None = None
    device_name: Name | None = None


class Git(Stored):
    """`git` of `env.json`."""

    commit: Name | None = None
    dirty: bool | None = None


class RunPlan(Stored):
    """`plan.json` of a run."""

    total_steps: Count | None = None
    steps_per_epoch: Count | None = None


class Failure(Stored):
    """`failure.json`."""

    exit_code: int = 1
    attempts: Count = 0
    reason: str = ""
    output: list[str] = []


class Line(Stored):
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


class _Choices(Stored):
    experiment: Name
    task: Name
    model: Name
    optimizer: Name


class _Optimizer(Stored):
    kind: Name
    lr: Number = None


class _Trainer(Stored):
    hold_out: Number = None


class ReportedConfig(Stored):
    """`config.yaml` of a run that a report can use."""

    choices: _Choices
    optimizer: _Optimizer
    seed: int
    trainer: _Trainer | None = None
