"""EfficientNets for images of any size and any number of channels."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torchvision import models

from experiments.models.layers import BatchNorm2d


class EfficientNet(nn.Module):
    """torchvision's EfficientNet, from scratch. Tan & Le, arXiv 1905.11946.

    It halves the image five times. With the stem `cifar` the first convolution keeps the size,
    which is one halving less. Dropout and stochastic depth draw from torch's global generator.
    """

    def __init__(
        self,
        *,
        variant: Literal["b0", "b1", "b2", "b3", "b4"],
        stem: Literal["cifar", "standard"],
        dropout: float | None,
        in_channels: int,
        classes: int,
    ) -> None:
        """`dropout` None: as published, 0.2 to 0.4."""
        super().__init__()
        build = getattr(models, f"efficientnet_{variant}")
        settings: dict[str, Any] = {} if dropout is None else {"dropout": dropout}
        self.network = build(num_classes=classes, norm_layer=BatchNorm2d, **settings)
        width = self.network.features[0][0].out_channels
        stride = 1 if stem == "cifar" else 2
        first = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out")
        self.network.features[0][0] = first

    def forward(self, images: Tensor) -> Tensor:
        """Float N×in_channels×H×W → logits N×classes."""
        logits: Tensor = self.network(images)
        return logits
