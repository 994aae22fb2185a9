"""The resolved config: every key, its type, its range and its default. No torch.

Settings of tasks and optimizers are in the files of `tasks/` and `optimizers/`, which are found
there; those of models in `models/settings.py`. Composition and overrides are in `compose`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from experiments.models.settings import MODELS
from experiments.optimizers.build import OPTIMIZERS
from experiments.settings import LocalPath, OpenUnit, Section, Switch, one_of
from experiments.tasks.build import TASKS

if TYPE_CHECKING:
    from experiments.optimizers.shared import OptimizerSettings as Optimizer
    from experiments.settings import KindSection as Model
    from experiments.tasks.base import TaskSettings as Task
else:
    Task, Model, Optimizer = one_of(TASKS), one_of(MODELS), one_of(OPTIMIZERS)


class Trainer(Section):
    """Length of the training, sizes of batches, times of evaluations."""

    epochs: PositiveInt = Field(5, description="passes over the training data")
    max_steps: PositiveInt | None = Field(None, description="stop after n steps; null: all epochs")
    batch_size: PositiveInt = Field(64, description="examples per step")
    eval_batch_size: PositiveInt = 256
    eval_every_steps: PositiveInt | None = Field(None, description="null: after every epoch")
    checkpoint_every_steps: PositiveInt = Field(100, description="and after every evaluation")
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(0, ge=0, description="processes that load data")
    micro_batches: PositiveInt = Field(1, description="parts of a batch, one at a time in memory")
    group_by_length: PositiveInt | None = Field(
        None, description="texts of similar length together, in windows of n batches; null: off"
    )
    hold_out: OpenUnit | None = Field(
        None, description="validate on this share of the training examples, train on the others"
    )


class Logger(Section):
    """Destinations of rows besides `metrics.jsonl`."""

    wandb: Literal["online", "offline", "disabled"] = "disabled"
    wandb_project: str = "sls"
    wandb_entity: str | None = None
    console: Switch = True


class Quirks(Section):
    """The choices of the authors' harness that a correct one does not make; `profile` sets them.

    What each does and where it is applied is in `docs/replication.md`.
    """

    evaluation_mode: Switch = Field(False, description="GLUE's models train without dropout")
    fixed_order: Switch = Field(False, description="every epoch has the first one's batches")
    bytes_as_text: Switch = Field(False, description="GLUE's texts read b'…'")
    one_seed: Switch = Field(False, description="the seed is 42, whatever `seed` is")
    accuracy_of_one_batch: Switch = Field(
        False, description="images' metrics count the first validation batch alone"
    )


class Choices(Section):
    """The names of the files that were composed; they name the run's folder."""

    experiment: str
    task: str
    model: str
    optimizer: str


class RunConfig(Section):
    """One run, resolved."""

    choices: Choices
    seed: int = Field(
        0, ge=0, lt=2**32, description="of first weights, order of data, augmentation, dropout"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps, …")
    data_root: LocalPath | None = Field(None, description="null: SLS_DATA_ROOT of the environment")
    cache_dir: LocalPath | None = Field(
        ".sls_cache",
        min_length=1,
        description="folder for what is computed once; null: nothing is kept",
    )
    results_dir: LocalPath = Field(
        "results", min_length=1, description="each run has a folder there"
    )
    task: Task
    model: Model
    optimizer: Optimizer
    trainer: Trainer
    logger: Logger
    profile: Literal["corrected", "paper"] = "corrected"
    quirks: Quirks = Quirks()
