"""ResNets for small pictures: a stem of one 3×3 convolution, no max-pool."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

BLOCKS = {8: (1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks a stage, for each depth; depth 8 has the three stages of the CIFAR ResNets."""


class CifarResNet(nn.Module):
    """Stem, stages of torchvision's `BasicBlock`, mean over the picture, one linear layer.

    The first stage has `width` channels; each further one has twice as many on half the pixels.
    He et al., arXiv 1512.03385.
    """

    def __init__(self, *, depth: int, width: int, in_channels: int, classes: int) -> None:
        """`depth` is a key of `BLOCKS`."""
        super().__init__()
        self.stem = nn.Sequential(_conv(in_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        channels = [width * 2**stage for stage in range(len(BLOCKS[depth]))]
        stages = [_stage(width, width, BLOCKS[depth][0], stride=1)]
        for before, after, blocks in zip(channels, channels[1:], BLOCKS[depth][1:], strict=False):
            stages.append(_stage(before, after, blocks, stride=2))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Float N×in_channels×H×W → logits N×classes."""
        features = self.stages(self.stem(images))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))
    first = BasicBlock(before, after, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(after, after) for _ in range(blocks - 1)))


def _conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
