"""Language modelling: the next token's cross entropy."""

from __future__ import annotations

from torch import Tensor

from experiments.tasks.cross_entropy import CrossEntropy


class LanguageModelling(CrossEntropy):
    """A label at every position; judged by the validation loss. The model gives N×T×vocabulary."""

    score: str = "val_loss"
    score_is_loss = True

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The share of next tokens that the model holds likeliest; both are int64 N×T."""
        return {"accuracy": float((outputs == labels).double().mean())}
