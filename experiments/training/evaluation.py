"""Loss and metrics of a task over a validation source."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from experiments.data.base import Batch
from experiments.tasks.base import Task
from experiments.training.closure import Precision, autocast


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with every tensor on `device`."""
    return {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}


@torch.no_grad()
def evaluate(
    task: Task,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    precision: Precision = "float32",
    between_batches: Callable[[], None] = lambda: None,
    metrics_of_one_batch: bool = False,
) -> dict[str, float]:
    """`{"val_loss": …, <metric>: …}` of the model in evaluation mode.

    The loss is the mean over all predictions of the split; the metrics see the outputs of the
    whole split at once, or, with `metrics_of_one_batch`, of its first batch alone. The model keeps
    its mode. `between_batches` is called after every batch and may raise.
    """
    was_training = task.model.training
    task.model.eval()
    loss_sum, weight_sum = 0.0, 0.0
    outputs, labels = [], []
    try:
        for batch in batches:
            with autocast(device, precision):
                prediction = task.predict(to_device(batch, device))
            loss_sum += float(prediction.loss) * float(prediction.weight)
            weight_sum += float(prediction.weight)
            outputs.append(prediction.outputs.cpu())
            labels.append(prediction.labels.cpu())
            between_batches()
    finally:
        task.model.train(was_training)
    if metrics_of_one_batch:
        outputs, labels = outputs[:1], labels[:1]
    loss = loss_sum / weight_sum
    metrics = task.loss_metrics(loss) | task.metrics(torch.cat(outputs), torch.cat(labels))
    # Plain floats: a checkpoint holds them and is loaded without numpy's types.
    numbers = {name: float(value) for name, value in metrics.items()}
    return {"val_loss": loss, **numbers}


def losses_of(task: Task) -> frozenset[str]:
    """Names of an evaluation's numbers that should fall, further splits included."""
    names = ("val_loss", *task.loss_metrics(1.0))
    further = {f"{name}_{suffix}" for name in names for suffix in task.also_validation}
    return frozenset({"train_loss", *names, *further})
