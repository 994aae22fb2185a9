"""A task: its settings in the config, and what the trainer knows of it. No torch at import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from experiments.settings import KindSection

if TYPE_CHECKING:
    from torch import Tensor, nn

    from experiments.data.base import Batch, Source


class Prediction(NamedTuple):
    """The result of `predict` for a batch, without a graph.

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

    def predict(self, batch: Batch) -> Prediction:
        """The batch's loss and predictions, without a graph."""

    def weight(self, batch: Batch) -> int:
        """The number of predictions that `loss` is the mean of."""

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The metrics over a whole split: outputs of `predict`, joined along the examples."""

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """The mean loss over a whole split in other terms, as perplexity; or nothing."""


class TaskSettings(KindSection):
    """The settings of a task, the models that fit it, and how it is built."""

    models: ClassVar[tuple[type[KindSection], ...]]
    keeps_tokens: ClassVar[bool] = False
    """True for tasks that keep tokens in the cache."""

    def build(
        self, model: Any, *, data_root: Path | None, cache: Path | None, bytes_as_text: bool
    ) -> Task:
        """The task with one of its `models`; the arguments are those of `build_task`."""
        raise NotImplementedError

    def places(self, data_root: Path | None) -> Iterable[Path]:
        """The files and folders where the data lie, or will lie once fetched."""
        return ()
