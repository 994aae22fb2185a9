"""What the trainer knows of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from experiments.data.base import Batch, Source


class Prediction(NamedTuple):
    """What `predict` knows of a batch, without a graph.

    `loss` is the mean over `weight` predictions, a scalar; `outputs` are the predicted and
    `labels` the right classes, int64 tensors of one shape, the example first; scores, where the
    task predicts one, are floating.
    """

    loss: Tensor
    weight: int
    outputs: Tensor
    labels: Tensor


class Task(Protocol):
    """A model, the data it is trained on, and how it is judged. Knows no optimizer.

    Batches are on the model's device already; the mode (train, eval) is the caller's.
    """

    model: nn.Module
    train: Source
    validation: Source
    also_validation: Mapping[str, Source]
    """Further splits to evaluate; a key is the suffix of their metrics, as in `accuracy_mm`."""
    score: str
    """The metric, or `val_loss`, that decides which evaluation is best."""
    score_is_loss: bool
    """True where a lower score is better."""

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss over the batch's predictions, a scalar with a graph."""
        ...

    def predict(self, batch: Batch) -> Prediction:
        """The batch's loss and predictions, without a graph."""
        ...

    def weight(self, batch: Batch) -> int:
        """The number of predictions that `loss` is the mean of."""
        ...

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The metrics over a whole split: what `predict` gave, joined along the examples."""
        ...

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """What the mean loss over a whole split means in other terms, as perplexity; or nothing."""
        ...
