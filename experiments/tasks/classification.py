"""Classification: cross entropy, judged by accuracy and, in GLUE, by F1 or Matthews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sklearn.metrics import f1_score, matthews_corrcoef
from torch import Tensor, nn

from experiments.data.base import Source
from experiments.tasks.cross_entropy import CrossEntropy

Metric = Literal["accuracy", "f1", "mcc"]


class Classification(CrossEntropy):
    """One label an example; `metrics` has the accuracy and `also`, `score` is one of them.

    `f1` is that of class 1, as GLUE reports it; `mcc` is Matthews' correlation coefficient.
    """

    score_is_loss = False

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        validation: Source,
        *,
        also: tuple[Metric, ...] = (),
        score: Metric = "accuracy",
        also_validation: Mapping[str, Source] | None = None,
    ) -> None:
        """`model` gives logits N×classes."""
        super().__init__(model, train, validation)
        self.also_validation = also_validation or {}
        self.score: str = score
        self._names: tuple[Metric, ...] = ("accuracy", *also)

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The metrics of the predicted classes `outputs`; both are int64 N."""
        outputs, labels = outputs.cpu(), labels.cpu()
        return {name: _metric(name, outputs, labels) for name in self._names}


def _metric(name: Metric, outputs: Tensor, labels: Tensor) -> float:
    match name:
        case "accuracy":
            return float((outputs == labels).double().mean())
        case "f1":
            # zero_division: a model that never says 1 has an F1 of 0, without a warning.
            return float(f1_score(labels.numpy(), outputs.numpy(), zero_division=0.0))
        case "mcc":
            return float(matthews_corrcoef(labels.numpy(), outputs.numpy()))
