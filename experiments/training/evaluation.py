"""Evaluation of a task: loss and metrics over a source, BatchNorm at weights never trained at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.data.base import Batch
from experiments.tasks.base import Task
from experiments.training.closure import Precision, autocast
from experiments.training.processes import ALONE, Processes, in_turn

# The largest number of batches to average BatchNorm's statistics over.
BATCHES = 50


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


class _Judged(NamedTuple):
    """What is kept of a batch: its loss, the weight of that, outputs and labels on the CPU."""

    loss: float
    weight: float
    outputs: Tensor
    labels: Tensor


@torch.no_grad()
def evaluate(
    task: Task,
    batches: Iterable[Batch | None],
    *,
    device: torch.device,
    precision: Precision = "float32",
    between_batches: Callable[[], None] = lambda: None,
    metrics_of_one_batch: bool = False,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """`{"val_loss": …, <metric>: …}` of the model in evaluation mode.

    The loss is the mean over all predictions of the split; the metrics see the outputs of the
    whole split at once, or, with `metrics_of_one_batch`, of its first batch alone. The model keeps
    its mode. `between_batches` is called after every batch and may raise. Several processes take
    batches in turn (`evaluation_batches`), and all get the numbers that one alone would.
    """
    was_training = task.model.training
    task.model.eval()
    judged = []
    try:
        for batch in batches:
            if batch is not None:
                judged.append(_judge(task, to_device(batch, device), device, precision))
            between_batches()
    finally:
        task.model.train(was_training)
    everybodys = processes.gather(judged)
    return processes.from_first(
        lambda: _numbers(task, in_turn(everybodys), metrics_of_one_batch=metrics_of_one_batch)
    )


def _judge(task: Task, batch: Batch, device: torch.device, precision: Precision) -> _Judged:
    with autocast(device, precision):
        prediction = task.predict(batch)
    return _Judged(
        float(prediction.loss),
        float(prediction.weight),
        prediction.outputs.cpu(),
        prediction.labels.cpu(),
    )


def _numbers(task: Task, judged: list[_Judged], *, metrics_of_one_batch: bool) -> dict[str, float]:
    loss_sum, weight_sum = 0.0, 0.0
    for one in judged:
        loss_sum += one.loss * one.weight
        weight_sum += one.weight
    seen = judged[:1] if metrics_of_one_batch else judged
    outputs, labels = torch.cat([o.outputs for o in seen]), torch.cat([o.labels for o in seen])
    loss = loss_sum / weight_sum
    metrics = task.loss_metrics(loss) | task.metrics(outputs, labels)
    # Plain floats: a checkpoint holds them and is loaded without numpy's types.
    return {"val_loss": loss, **{name: float(value) for name, value in metrics.items()}}


def losses_of(task: Task) -> frozenset[str]:
    """Names of an evaluation's numbers that should fall, further splits included."""
    names = ("val_loss", *task.loss_metrics(1.0))
    further = {f"{name}_{suffix}" for name in names for suffix in task.also_validation}
    return frozenset({"train_loss", *names, *further})


@contextmanager
def statistics_of(model: nn.Module, forwards: Iterable[Callable[[], object]]) -> Iterator[None]:
    """Within, BatchNorm's running statistics are the plain means of those of the forward passes.

    Afterwards they are what they were. The passes are made without gradients and in evaluation
    mode but for BatchNorm, so that no dropout draws a random number. Where the model has no such
    layer, or trains in evaluation mode and so never moves them, no pass is made.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms or not model.training:
        yield
        return
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        _estimate(model, norms, forwards)
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)


@torch.no_grad()
def _estimate(
    model: nn.Module, norms: list[_BatchNorm], forwards: Iterable[Callable[[], object]]
) -> None:
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain mean
            norm.train()
        for forward in forwards:
            forward()
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train()
