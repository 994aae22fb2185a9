"""A task small enough to train in a test: real digits, a network with dropout and BatchNorm."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.data.base import Batch, Source
from experiments.tasks.base import Prediction


class Digits:
    """The digits whose number leaves `remainder` modulo 5; noise stands in for augmentation."""

    def __init__(self, remainders: tuple[int, ...]) -> None:
        pictures, labels = load_digits(return_X_y=True)
        kept = torch.isin(torch.arange(len(labels)) % 5, torch.tensor(remainders))
        self.x = torch.tensor(pictures, dtype=torch.float32)[kept] / 16
        self.labels = torch.tensor(labels)[kept]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        x = self.x[indices]
        if generator is not None:
            x = x + 0.05 * torch.randn(x.shape, generator=generator)
        return {"x": x, "labels": self.labels[indices]}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TinyTask:
    score = "accuracy"
    score_is_loss = False

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = Net()
        self.train: Source = Digits((0,))
        self.validation: Source = Digits((1,))
        self.also_validation: dict[str, Source] = {}

    def loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.model(x=batch["x"]), batch["labels"])

    def weight(self, batch: Batch) -> int:
        return len(batch["labels"])

    @torch.no_grad()
    def predict(self, batch: Batch) -> Prediction:
        logits = self.model(x=batch["x"])
        loss = cross_entropy(logits, batch["labels"])
        return Prediction(loss, self.weight(batch), logits.argmax(1), batch["labels"])

    def metrics(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        return {"accuracy": float((outputs == labels).float().mean())}

    def loss_metrics(self, loss: float) -> dict[str, float]:
        del loss
        return {}
