"""Small problems whose batches are divided among the ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn

STEPS = 30
BATCH = 12
"""Examples in a global batch; the last one of an epoch of five has fewer, unevenly divided."""

ROUNDING_NOISE = {"ALSALS.paper"}
"""Optimizers whose slope is a finite difference: rounding noise, which is another on each path."""


def smooth_network() -> nn.Module:
    """No dropout, no BatchNorm: the loss of a batch is the mean of those of its parts."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).double()


def network() -> nn.Module:
    """Dropout, whose numbers differ between ranks, and BatchNorm."""
    torch.manual_seed(3)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)]
    return nn.Sequential(*layers)


def batch(k: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The global batch k."""
    generator = torch.Generator().manual_seed(100 + k % 5)
    x = torch.randn(BATCH, 5, generator=generator, dtype=torch.float64)
    return x.to(dtype), (x[:, 0] * x[:, 1] > 0).long()


def part(
    k: int, dtype: torch.dtype = torch.float32, *, even: bool = False
) -> tuple[Tensor, Tensor]:
    """This rank's part of it: every other example, and fewer on rank 1 in each fifth batch."""
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    x, y = (tensor[rank::ranks] for tensor in batch(k, dtype))
    if k % 5 == 4 and rank == 1 and not even:
        return x[:-3], y[:-3]
    return x, y


def cross_entropy(model: nn.Module, pair: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(pair[0]), pair[1])


def train(
    model: Callable[..., Any], optimizer: Any, steps: range, loss_of: Callable[[int], Tensor]
) -> dict[str, list[Any]]:
    """Losses, step sizes, forward passes and statuses of these steps."""
    seen: dict[str, list[Any]] = {"losses": [], "steps": [], "forwards": [], "statuses": []}
    for k in steps:
        loss = optimizer.step(lambda k=k: loss_of(k))
        record = optimizer.last_step
        seen["losses"].append(float(loss))
        seen["steps"].append(float(optimizer.param_groups[0]["lr"]))
        seen["forwards"].append(record.forwards)
        seen["statuses"].append(record.status.value)
    return seen


def nan_on_one_rank(
    model: Callable[..., Any], optimizer: Any, at: int, loss_of: Callable[[int], Tensor]
) -> dict[str, Any]:
    """What step `at` does, in which the loss is NaN on rank 1; parameters before and after."""

    def with_nan(k: int) -> Tensor:
        loss = loss_of(k)
        return loss * math.nan if k == at and distributed.get_rank() == 1 else loss

    train(model, optimizer, range(at), with_nan)
    before = numbers(params_of(optimizer))
    seen = train(model, optimizer, range(at, at + 1), with_nan)
    return {**seen, "before": before, "params": numbers(params_of(optimizer))}


def refused(optimizer: Any, closure: Callable[..., Tensor]) -> dict[str, Any]:
    """What is said of a step that is refused; parameters before and after."""
    seen: dict[str, Any] = {"before": numbers(params_of(optimizer))}
    try:
        optimizer.step(closure)
    except RuntimeError as error:
        seen["error"] = str(error)
    return {**seen, "after": numbers(params_of(optimizer))}


def params_of(optimizer: Any) -> list[Tensor]:
    """The parameters of an optimizer, which fully_shard does not replace."""
    return [param for group in optimizer.param_groups for param in group["params"]]


def numbers(tensors: Any) -> list[float]:
    """All values of the tensors, one after the other; whole ones of sharded tensors."""
    return [value for tensor in tensors for value in _whole(tensor).double().flatten().tolist()]


def _whole(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def micro_batches(k: int, size: int = 3) -> list[tuple[Tensor, Tensor]]:
    """This rank's part of batch k, six examples, in parts of this size."""
    x, y = part(k, even=True)
    return list(zip(x.split(size), y.split(size), strict=True))


def uneven_micro_batches(k: int) -> list[tuple[Tensor, Tensor]]:
    """This rank's part of batch k: three micro-batches on rank 0, two of other sizes on rank 1."""
    return micro_batches(k, size=2 if distributed.get_rank() == 0 else 4)
