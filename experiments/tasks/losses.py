"""Losses and metrics: classification, regression and language modelling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.data.base import Batch, Source
from experiments.tasks.base import Prediction

LARGEST_EXPONENT = 700.0
"""Beyond it `exp` overflows."""

# --------------------------------------------------- metrics of classes, of int64 arrays N

# scikit-learn and SciPy are imported by the metrics that need them: it takes a second or two.
_Labels = NDArray[np.int64]


def _accuracy(right: _Labels, predicted: _Labels) -> float:
    return float((right == predicted).mean())


def _f1(right: _Labels, predicted: _Labels) -> float:
    from sklearn.metrics import f1_score

    # zero_division: a model that never predicts 1 has an F1 of 0, without a warning.
    return float(f1_score(right, predicted, zero_division=0.0))


def _mcc(right: _Labels, predicted: _Labels) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(right, predicted))


Metric = Literal["accuracy", "f1", "mcc"]
_METRICS: dict[Metric, Callable[[_Labels, _Labels], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "mcc": _mcc,
}


# --------------------------------------------------------------------------------------- losses


@dataclass(eq=False)
class _Supervised:
    """A model whose outputs are compared with the batch's labels."""

    model: nn.Module
    train: Source
    validation: Source
    also_validation: Mapping[str, Source] = field(default_factory=dict, kw_only=True)

    def loss(self, batch: Batch) -> Tensor:
        return self._loss(self._outputs(batch), batch["labels"])

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        outputs, labels = self._outputs(batch), batch["labels"]
        loss = self._loss(outputs, labels)
        return Prediction(loss, self.weight(batch), self._predicted(outputs), labels)

    def weight(self, batch: Batch) -> int:
        return batch["labels"].numel()

    def loss_metrics(self, loss: float) -> dict[str, float]:
        return {}

    def _outputs(self, batch: Batch) -> Tensor:
        outputs: Tensor = self.model(**{key: batch[key] for key in batch if key != "labels"})
        return outputs

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError

    def _predicted(self, outputs: Tensor) -> Tensor:
        return outputs


class _CrossEntropy(_Supervised):
    """Cross entropy, in nats, of logits with the classes in the last dimension.

    `labels` has the shape of the logits without it.
    """

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, -2), labels.flatten())

    def _predicted(self, outputs: Tensor) -> Tensor:
        """The likeliest classes; not the logits, since classes are small."""
        return outputs.argmax(dim=-1)


@dataclass(eq=False)
class Classification(_CrossEntropy):
    """One label for each example, logits N×classes.

    `metrics` has the accuracy and `also`; `score` is one of them. `f1` is that of class 1, as GLUE
    reports it; `mcc` is Matthews' correlation coefficient.
    """

    also: tuple[Metric, ...] = field(default=(), kw_only=True)
    score: str = field(default="accuracy", kw_only=True)
    score_is_loss = False

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The metrics of the predicted classes `outputs`; both are int64 N."""
        right, predicted = labels.cpu().numpy(), outputs.cpu().numpy()
        return {name: _METRICS[name](right, predicted) for name in ("accuracy", *self.also)}


class LanguageModelling(_CrossEntropy):
    """The next token, or hidden ones: labels N×T, logits N×T×vocabulary; judged by the loss."""

    score = "val_loss"
    score_is_loss = True

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The share of tokens that are predicted right; both are int64 N×T."""
        return {"accuracy": float((outputs == labels).double().mean())}

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """The perplexity, exp of the mean loss in nats."""
        return {"perplexity": math.inf if loss > LARGEST_EXPONENT else math.exp(loss)}


class Regression(_Supervised):
    """One score for each example, `labels` float32 N; the model gives N×1.

    The loss is the mean of (prediction − label)² over the batch.
    """

    score = "pearson"
    score_is_loss = False

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Pearson's and Spearman's correlation; 0 where one side is constant, NaN where it has NaN.

        `outputs` and `labels` are floating N.
        """
        from scipy.stats import pearsonr, spearmanr

        x, y = outputs.double().cpu(), labels.double().cpu()
        if not bool(torch.isfinite(x).all()):
            return {"pearson": math.nan, "spearman": math.nan}
        if bool((x == x[0]).all()) or bool((y == y[0]).all()):
            # scipy would warn and give NaN: a constant prediction has no correlation.
            return {"pearson": 0.0, "spearman": 0.0}
        return {
            "pearson": float(pearsonr(x.numpy(), y.numpy()).statistic),
            "spearman": float(spearmanr(x.numpy(), y.numpy()).statistic),
        }

    def _outputs(self, batch: Batch) -> Tensor:
        # Under autocast the model's numbers are bfloat16, too coarse to be subtracted.
        return super()._outputs(batch).squeeze(-1).float()

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(outputs, labels)
