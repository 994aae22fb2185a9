"""The closure of a batch: an optimizer calls it for the loss, with or without gradients."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from experiments.data.base import Batch
from experiments.tasks.base import Task
from experiments.training.processes import SharedLoss

Precision = Literal["float32", "bfloat16"]

_Count = Annotated[int, Field(strict=True, ge=0)]


@dataclass(config=ConfigDict(extra="forbid"))
class Passes:
    """Forward and backward passes of training so far, each over a whole batch."""

    forward: _Count = 0
    backward: _Count = 0


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 where torch thinks it safe, or nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The batch as `parts` views, in order, of nearly the same size; at most one per example."""
    parts = min(parts, len(batch["labels"]))
    pieces = (tensor.tensor_split(parts) for tensor in batch.values())
    return [dict(zip(batch, part, strict=True)) for part in zip(*pieces, strict=True)]


class BatchClosure:
    """`closure()` is the mean loss of one batch, a scalar without a graph.

    With gradients enabled it also replaces the gradients of the parameters by those of this loss;
    without, it runs the forward pass only.

    With `micro_batches` = k the batch goes through the model in k parts, one after the other, and
    loss and gradients are Σᵢ wᵢ/w · (those of part i), where wᵢ is `task.weight` of part i and
    w = Σᵢ wᵢ: equal to the whole batch's up to rounding, with the graph of one part at a time in
    memory. All k parts together count as one pass. Only BatchNorm notices: it normalises each
    part by itself and moves its buffers k times.
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
        """The same closure, not counted in the run's passes: to look at the loss of this batch."""
        twin = copy.copy(self)
        twin.passes = Passes()
        return twin

    def _part(self, part: Batch, share: float) -> Tensor:
        """A part's share of the loss; with gradients enabled, adds its gradients too."""
        with autocast(self.device, self.precision):
            loss = self._mean_loss(part) * share
        if torch.is_grad_enabled():
            torch.autograd.backward(loss)
        return loss.detach()

    def _mean_loss(self, part: Batch) -> Tensor:
        return self.task.loss(part)


class SharedBatchClosure(BatchClosure):
    """`BatchClosure` for one of several processes: `batch` is its part of a batch they share.

    `closure()` is the same number in all of them, the mean loss of the whole batch, and so are the
    gradients: (1/P)·Σᵣ sᵣ·(those of process r) over the P processes. With `share` sᵣ = P·wᵣ/w,
    where wᵣ is `task.weight` of part r and w = Σᵣ wᵣ, they are those of one process, to rounding.
    All processes must evaluate it equally often.
    """

    def __init__(
        self,
        task: Task,
        batch: Batch,
        passes: Passes,
        *,
        loss: SharedLoss,
        share: float,
        **how: Any,
    ) -> None:
        super().__init__(task, batch, passes, **how)
        self.parts = [(part, share * own) for part, own in self.parts]
        self._shared = loss

    def __call__(self) -> Tensor:
        return self._shared.mean(super().__call__())

    def _part(self, part: Batch, share: float) -> Tensor:
        if part is self.parts[-1][0]:
            return super()._part(part, share)
        with self._shared.gradients_stay_here():
            return super()._part(part, share)

    def _mean_loss(self, part: Batch) -> Tensor:
        return self._shared(part)


def _weighed(task: Task, parts: list[Batch]) -> list[tuple[Batch, float]]:
    """Each part with its share of the weight; a part without predictions has no loss to add."""
    if len(parts) == 1:
        return [(parts[0], 1.0)]
    weights = [task.weight(part) for part in parts]
    total = sum(weights)
    return [(p, weight / total) for p, weight in zip(parts, weights, strict=True) if weight > 0]
