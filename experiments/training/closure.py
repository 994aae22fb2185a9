"""The closure of a batch: what an optimizer calls to get a loss, with or without gradients."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.tasks.base import Task

Precision = Literal["float32", "bfloat16"]


@dataclass
class Passes:
    """Forward and backward passes of training so far, each over a whole batch."""

    forward: int = 0
    backward: int = 0


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 where torch thinks it safe, or nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The batch as `parts` views, in order, whose sizes differ by one at most.

    A batch of fewer examples gives one part for each.
    """
    parts = min(parts, len(batch["labels"]))
    pieces = {key: tensor.tensor_split(parts) for key, tensor in batch.items()}
    return [{key: pieces[key][i] for key in batch} for i in range(parts)]


class BatchClosure:
    """`closure()` is the mean loss of one batch, a scalar without a graph.

    With gradients enabled it also replaces the gradients of the parameters by those of this loss;
    without, it runs the forward pass only.

    With `micro_batches` = k the batch goes through the model in k parts, one after the other, and
    loss and gradients are Σᵢ wᵢ/w · (those of part i), where wᵢ is `task.weight` of part i and
    w = Σᵢ wᵢ: those of the whole batch up to rounding, with the graph of one part at a time in
    memory. All k parts together count as one pass. Only what looks across examples sees the
    parts: BatchNorm normalises each part by itself and moves its buffers k times.
    """

    def __init__(
        self,
        task: Task,
        batch: Batch,
        passes: Passes,
        *,
        device: torch.device,
        precision: Precision = "float32",
        micro_batches: int = 1,
    ) -> None:
        self.task = task
        self.passes = passes
        self.device = device
        self.precision: Precision = precision
        self.parts = _weighed(task, split_batch(batch, micro_batches)) or [(batch, 1.0)]

    def __call__(self) -> Tensor:
        self.passes.forward += 1
        if torch.is_grad_enabled():
            self.passes.backward += 1
            self.task.model.zero_grad(set_to_none=True)
        # Trials without gradients add in the same order: their losses are compared bit for bit.
        return reduce(torch.add, (self._part(part, share) for part, share in self.parts))

    def uncounted(self) -> BatchClosure:
        """The same closure, whose passes are nobody's: for looking at the loss of this batch."""
        twin = copy.copy(self)
        twin.passes = Passes()
        return twin

    def _part(self, part: Batch, share: float) -> Tensor:
        """What a part adds to the loss; with gradients enabled, to the gradients too."""
        with autocast(self.device, self.precision):
            loss = self.task.loss(part) * share
        if torch.is_grad_enabled():
            torch.autograd.backward(loss)
        return loss.detach()


def _weighed(task: Task, parts: list[Batch]) -> list[tuple[Batch, float]]:
    """Each part with its share of the weight; a part without predictions has no loss to add."""
    if len(parts) == 1:
        return [(parts[0], 1.0)]
    weights = [task.weight(part) for part in parts]
    total = sum(weights)
    return [(p, weight / total) for p, weight in zip(parts, weights, strict=True) if weight > 0]
