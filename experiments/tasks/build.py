"""All tasks, found in the files of this folder, and how one is built from its settings."""

from __future__ import annotations

from pathlib import Path

from experiments.errors import UserError
from experiments.settings import KindSection, kinds_in
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.places import with_folders

# The two files that hold no settings import torch.
TASKS = kinds_in("experiments.tasks", TaskSettings, without=("losses", "prefetch"))

# For the order in which examples are held out: the same whatever the run's seed is.
_SEED = 20240318


def build_task(
    task: TaskSettings,
    model: KindSection,
    *,
    data_root: Path | None,
    cache: Path | None = None,
    bytes_as_text: bool = False,
) -> Task:
    """The task, with its data read and its model built; nothing is on a device yet.

    `cache` is the folder for what is computed once from the data; None: nothing is kept.
    torch's global random numbers are used for the model's initialisation only; the caller seeds
    them. `bytes_as_text` gives GLUE's texts as Python shows their bytes. Raises `UserError` for a
    model that does not fit, and for data that are missing or broken.
    """
    if not isinstance(model, task.models):
        fitting = ", ".join(known.model_fields["kind"].default for known in task.models)
        raise UserError(
            f"model '{model.kind}' does not fit task '{task.kind}'; models that do: {fitting}"
        )
    task = with_folders(task, "task", data_root)
    model = with_folders(model, "model", data_root)
    return task.build(model, data_root=data_root, cache=cache, bytes_as_text=bytes_as_text)


def hold_out(task: Task, share: float) -> None:
    """Let `task` train on all but a random `share` of its training examples, and validate on that.

    So hyper-parameters can be tuned without the validation splits, which are not used any more.
    The held-out examples depend on the number of examples and on `share` alone, and are not
    augmented.
    """
    import torch

    from experiments.data.base import Subset

    examples = len(task.train)
    held = round(share * examples)
    if not 0 < held < examples:
        raise UserError(
            f"trainer.hold_out is {share}: of {examples} training examples that holds out {held}"
        )
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(_SEED))
    source = task.train
    task.train = Subset(source, order[held:].sort().values)
    task.validation = Subset(source, order[:held].sort().values)
    task.also_validation = {}
