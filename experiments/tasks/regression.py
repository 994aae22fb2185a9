"""Regression: the mean squared error, judged by GLUE's two correlations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.data.base import Batch, Source
from experiments.tasks.base import Prediction


class Regression:
    """One score an example, `labels` float32 N; the model gives N×1."""

    score: str = "pearson"
    score_is_loss = False

    def __init__(self, model: nn.Module, train: Source, validation: Source) -> None:
        """The model and the two parts of the data."""
        self.model = model
        self.train = train
        self.validation = validation
        self.also_validation: Mapping[str, Source] = {}

    def loss(self, batch: Batch) -> Tensor:
        """The mean of (prediction − label)² over the batch."""
        return F.mse_loss(self._scores(batch), batch["labels"])

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        """The loss and the predicted scores."""
        scores = self._scores(batch)
        labels = batch["labels"]
        return Prediction(F.mse_loss(scores, labels), self.weight(batch), scores, labels)

    def weight(self, batch: Batch) -> int:
        """The number of examples in the batch."""
        return len(batch["labels"])

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """None: the mean squared error says it itself."""
        return {}

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Pearson's and Spearman's correlation; 0 where one side is constant, NaN where it has NaN.

        `outputs` and `labels` are floating N.
        """
        x, y = outputs.double().cpu(), labels.double().cpu()
        if not bool(torch.isfinite(x).all()):
            return {"pearson": float("nan"), "spearman": float("nan")}
        if bool((x == x[0]).all()) or bool((y == y[0]).all()):
            # scipy would warn and say NaN: a model that always says the same knows nothing.
            return {"pearson": 0.0, "spearman": 0.0}
        return {
            "pearson": float(pearsonr(x.numpy(), y.numpy()).statistic),
            "spearman": float(spearmanr(x.numpy(), y.numpy()).statistic),
        }

    def _scores(self, batch: Batch) -> Tensor:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        outputs: Tensor = self.model(**inputs)
        # Under autocast the model's numbers are bfloat16, too coarse to be subtracted.
        return outputs.squeeze(-1).float()
