"""The closure of a batch: what an optimizer calls to get a loss, with or without gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.tasks.base import Task

Precision = Literal["float32", "bfloat16"]


@dataclass
class Passes:
    """Forward and backward passes of training so far."""

    forward: int = 0
    backward: int = 0


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context of a forward pass: bfloat16 where torch thinks it safe, or nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class BatchClosure:
    """`closure()` is the mean loss of one batch, a scalar without a graph.

    With gradients enabled it also replaces the gradients of the parameters by those of this loss;
    without, it runs the forward pass only. Either way the passes are counted.
    """

    def __init__(
        self,
        task: Task,
        batch: Batch,
        passes: Passes,
        *,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.task = task
        self.batch = batch
        self.passes = passes
        self.device = device
        self.precision: Precision = precision

    def __call__(self) -> Tensor:
        if not torch.is_grad_enabled():
            return self._forward()
        self.task.model.zero_grad(set_to_none=True)
        loss = self._forward()
        torch.autograd.backward(loss)
        self.passes.backward += 1
        return loss.detach()

    def _forward(self) -> Tensor:
        self.passes.forward += 1
        with autocast(self.device, self.precision):
            return self.task.loss(self.batch)
