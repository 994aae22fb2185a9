"""Language modelling: the cross entropy of the next token, or of tokens that were hidden."""

from __future__ import annotations

import math

from torch import Tensor

from experiments.tasks.cross_entropy import CrossEntropy

LARGEST_EXPONENT = 700.0
"""Beyond it `exp` overflows."""


class LanguageModelling(CrossEntropy):
    """Labels at many positions of an example; judged by the validation loss.

    The model gives N×T×vocabulary for labels N×T.
    """

    score: str = "val_loss"
    score_is_loss = True

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The share of tokens that the model holds likeliest; both are int64 N×T."""
        return {"accuracy": float((outputs == labels).double().mean())}

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """The perplexity, exp of the mean loss in nats."""
        return {"perplexity": math.inf if loss > LARGEST_EXPONENT else math.exp(loss)}
