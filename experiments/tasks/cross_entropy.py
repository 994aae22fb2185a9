"""What classification and language modelling share: cross entropy and the predicted class."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.data.base import Batch, Source
from experiments.tasks.base import Prediction


class CrossEntropy:
    """Loss, weight and prediction for logits with the classes in the last dimension.

    `labels` has the shape of the logits without it.
    """

    def __init__(self, model: nn.Module, train: Source, validation: Source) -> None:
        """The model and the two parts of the data."""
        self.model = model
        self.train = train
        self.validation = validation
        self.also_validation: Mapping[str, Source] = {}

    def loss(self, batch: Batch) -> Tensor:
        """The mean cross entropy over the batch's labels, in nats."""
        return _cross_entropy(self._logits(batch), batch["labels"])

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """The loss and the likeliest classes; classes, not logits, since they are small."""
        logits = self._logits(batch)
        labels = batch["labels"]
        loss = _cross_entropy(logits, labels)
        return Prediction(loss, self.weight(batch), logits.argmax(dim=-1), labels)

    def weight(self, batch: Batch) -> int:
        """The number of labels in the batch."""
        return batch["labels"].numel()

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """Nothing besides the loss itself."""
        del loss
        return {}

    def _logits(self, batch: Batch) -> Tensor:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        logits: Tensor = self.model(**inputs)
        return logits


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())
