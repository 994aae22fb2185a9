"""A multi-layer perceptron for tables and images."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """`layers` hidden layers of `width` units, each with ReLU and dropout, then a linear one."""

    def __init__(
        self, *, inputs: int, width: int, layers: int, dropout: float, classes: int
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number in range(layers):
            parts += [nn.Linear(inputs if number == 0 else width, width), nn.ReLU()]
            if dropout:
                parts.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*parts)
        self.head = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Float N×inputs → logits N×classes."""
        logits: Tensor = self.head(self.hidden(features))
        return logits


class PictureMLP(MLP):
    """The same on images, whose pixels are the features."""

    def forward(self, images: Tensor) -> Tensor:
        """Float N×C×H×W with C·H·W = inputs → logits N×classes."""
        return super().forward(images.flatten(1))
