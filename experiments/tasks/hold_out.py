"""Training examples held out to tune on, so that the validation split judges nothing twice."""

from __future__ import annotations

import torch

from experiments.data.base import Subset
from experiments.errors import UserError
from experiments.tasks.base import Task

# Of the order in which examples are held out: the same ones whatever the run's seed is.
_SEED = 20240318


def hold_out(task: Task, share: float) -> None:
    """Let `task` train on all but a random `share` of its training examples, and validate on that.

    The task's own validation splits are not seen any more. The held-out examples depend on the
    number of examples and on `share` alone, and are not augmented.

    Raises:
        UserError: if nothing would be held out, or nothing left to train on.
    """
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
