"""A Vision Transformer for images of any size and any number of channels."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torchvision.models import VisionTransformer

from experiments.errors import UserError
from experiments.models.layers import require_divisible


class ViT(nn.Module):
    """torchvision's `VisionTransformer`, with as many input channels as the images have.

    The MLPs are four times as wide as the stream. Dosovitskiy et al., arXiv 2010.11929.
    """

    def __init__(
        self,
        *,
        size: int,
        patch: int | None,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        in_channels: int,
        classes: int,
    ) -> None:
        """Images are `size × size` pixels; raises `UserError` for sizes that do not divide.

        `patch` None: 16 pixels of a side for images from 128 pixels, 8 from 64, else 4.
        """
        super().__init__()
        if patch is None:
            patch = 16 if size >= 128 else 8 if size >= 64 else 4
        if size % patch:
            raise UserError(f"model.patch is {patch}; it must divide the images' size, {size}")
        require_divisible(width, heads)
        self.transformer = VisionTransformer(
            image_size=size,
            patch_size=patch,
            num_layers=layers,
            num_heads=heads,
            hidden_dim=width,
            mlp_dim=4 * width,
            dropout=dropout,
            attention_dropout=dropout,
            num_classes=classes,
        )
        # torchvision's stem is for three channels; the initialisation is its own.
        stem = nn.Conv2d(in_channels, width, kernel_size=patch, stride=patch)
        nn.init.trunc_normal_(stem.weight, std=math.sqrt(1 / (in_channels * patch**2)))
        nn.init.zeros_(stem.get_parameter("bias"))
        self.transformer.conv_proj = stem

    def forward(self, images: Tensor) -> Tensor:
        """Float N×in_channels×size×size → logits N×classes."""
        logits: Tensor = self.transformer(images)
        return logits
