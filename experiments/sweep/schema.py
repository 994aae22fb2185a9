"""The keys of a sweep's file, their types, ranges and defaults. No torch."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from experiments.settings import OpenUnit, Section, list_as_tuple
from experiments.tuning import Decider

Name = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = dict[str, Any]
"""Keys as on main.py's command line (`trainer.epochs`) and their values."""

_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d)")


def _unique(values: Any) -> Any:
    """Refuse a list with a value twice."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"contains {value!r} twice")
    return values


_Listed = BeforeValidator(list_as_tuple)
_Unique = AfterValidator(_unique)
Names = Annotated[tuple[Name, ...], _Listed, _Unique]
Seeds = Annotated[tuple[Seed, ...], _Listed, Field(min_length=1), _Unique]
Rates = Annotated[tuple[PositiveFloat, ...], _Listed, Field(min_length=1), _Unique]


class TaskEntry(Section):
    """A row of the tables without an experiment: a task with a model."""

    task: Name
    model: Name
    settings: Settings = Field(default_factory=dict)

    @property
    def row(self) -> str:
        """`<task>-<model>`, slashes as in a run's folder."""
        return f"{self.task}-{self.model}".replace("/", "_")


class OptimizerEntry(Section):
    """A column of the tables: a file of config/optimizer, with settings of its own."""

    name: Name
    label: Name | None = Field(None, description="null: the name")
    settings: Settings = Field(default_factory=dict, description="keys below `optimizer.`")

    @property
    def column(self) -> str:
        """Its name in the tables."""
        return self.name if self.label is None else self.label


class Grid(Section):
    """The peak rates to try: `times` the recommended one, or the rates themselves."""

    times: Rates | None = None
    lr: Rates | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.times is None) == (self.lr is None):
            raise ValueError("must have either times or lr")
        return self

    def rates(self, recommended: float) -> tuple[float, ...]:
        """The rates, ascending. Products are rounded: 3 times 1e-3 is 0.003."""
        products = (float(f"{recommended * factor:.12g}") for factor in self.times or ())
        return tuple(sorted(self.lr or products))


class Tuning(Section):
    """The stage before the comparison, on held-out training examples or the validation split."""

    optimizers: dict[str, Grid] = Field(min_length=1, description="by label")
    reference: Names = Field((), description="labels that run on the same split, not tuned")
    seeds: Seeds = (0,)
    hold_out: OpenUnit | None = Field(
        0.1, description="share of the training examples; null: none, the validation split is used"
    )
    score: Decider = Field("score", description="what decides: the task's score, or val_loss")
    rows: Names | None = Field(None, description="the rows to tune; null: all")

    @model_validator(mode="after")
    def _tuned_or_reference(self) -> Self:
        for label in self.reference:
            if label in self.optimizers:
                raise ValueError(f"has {label!r} both tuned and as a reference")
        return self


class LocalSettings(Section):
    """Processes on this machine, each with a GPU where there are several."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = Field(
        None, description="runs at a time; null: one, or as many as there are GPUs"
    )


class SlurmSettings(Section):
    """Jobs of a SLURM cluster (submitit)."""

    kind: Literal["slurm"] = "slurm"
    partition: Name | None = Field(None, description="null: the cluster's default")
    time: PositiveInt | str = Field(1440, description="of a job: minutes, or H:MM:SS")
    workers: PositiveInt | None = Field(None, description="at most so many at once; null: no limit")
    gpus: int = Field(1, ge=0, description="of a job; so are cpus and memory_gb")
    cpus: PositiveInt = 4
    memory_gb: PositiveInt | None = Field(None, description="null: the cluster's default")

    @model_validator(mode="after")
    def _time_is_a_time(self) -> Self:
        clock = isinstance(self.time, str)
        if clock and (_CLOCK.fullmatch(str(self.time)) is None or self.minutes == 0):
            raise ValueError(f"has a time that is neither minutes nor H:MM:SS: {self.time!r}")
        return self

    @property
    def minutes(self) -> int:
        """`time` in minutes, rounded up."""
        if isinstance(self.time, int):
            return self.time
        hours, minutes, seconds = map(int, self.time.split(":"))
        return hours * 60 + minutes + math.ceil(seconds / 60)


class RaySettings(Section):
    """Tasks of a Ray cluster."""

    kind: Literal["ray"] = "ray"
    address: Annotated[str, Field(pattern=r"^(auto|\[?[\w.:-]+\]?:\d+)$")] = Field(
        "auto", description="HOST:PORT; auto: RAY_ADDRESS, or the cluster of this machine"
    )
    workers: PositiveInt | None = Field(None, description="at most so many at once; null: no limit")
    gpus: int = Field(1, ge=0, description="of a run; so are cpus")
    cpus: PositiveInt = 4
    retries: int = Field(3, ge=0, description="how often a run goes on whose worker was lost")


LauncherSettings = Annotated[
    LocalSettings | SlurmSettings | RaySettings, Field(discriminator="kind")
]
LAUNCHERS: dict[str, type[Section]] = {
    kind.model_fields["kind"].default: kind for kind in (LocalSettings, SlurmSettings, RaySettings)
}

Column = Annotated[
    OptimizerEntry,
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
]


class SweepConfig(Section):
    """A sweep: rows × optimizers × seeds."""

    results_dir: Name
    experiments: Names = ()
    tasks: Annotated[tuple[TaskEntry, ...], _Listed] = ()
    optimizers: Annotated[tuple[Column, ...], _Listed] = Field(min_length=1)
    seeds: Seeds
    targets: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="by row: the validation score that a run should reach"
    )
    settings: Settings = Field(default_factory=dict, description="of every run")
    tuning: Tuning | None = None
    launcher: LauncherSettings = LocalSettings()

    @property
    def rows(self) -> tuple[str, ...]:
        """In the order of the tables."""
        return (*self.experiments, *(entry.row for entry in self.tasks))

    @property
    def columns(self) -> tuple[str, ...]:
        """In the order of the tables."""
        return tuple(entry.column for entry in self.optimizers)

    @model_validator(mode="after")
    def _rows_and_columns(self) -> Self:
        if not self.rows:
            raise ValueError("has neither experiments nor tasks")
        for kind, names in (("rows", self.rows), ("columns", self.columns)):
            for name, count in Counter(names).items():
                if count > 1:
                    raise ValueError(f"has {count} {kind} called {name!r}")
        return self
