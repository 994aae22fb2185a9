"""ResNets with the stem for small images (CIFAR) or the standard one (ImageNet)."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from experiments.models.layers import BatchNorm2d

Stem = Literal["cifar", "standard"]


class BasicBlock(nn.Module):
    """torchvision's block of two convolutions, whose import would take as long as torch's."""

    expansion: ClassVar = 1

    def __init__(self, before: int, planes: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv(before, planes, 3, stride)
        self.bn1 = BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(planes, planes, 3, 1)
        self.bn2 = BatchNorm2d(planes)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Float N×before×H×W → N×planes×(H / stride)×(W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(out)
        return result


class Bottleneck(nn.Module):
    """torchvision's block of three convolutions, with the stride in the second one."""

    expansion: ClassVar = 4

    def __init__(self, before: int, planes: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv(before, planes, 1, 1)
        self.bn1 = BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3, stride)
        self.bn2 = BatchNorm2d(planes)
        self.conv3 = _conv(planes, planes * self.expansion, 1, 1)
        self.bn3 = BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Float N×before×H×W → N×(4·planes)×(H / stride)×(W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(out)
        return result


Block = type[BasicBlock] | type[Bottleneck]

BLOCKS: dict[int, tuple[Block, tuple[int, ...]]] = {
    8: (BasicBlock, (1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}
"""For each depth the block and the blocks per stage; 8 has the three stages of CIFAR ResNets."""


class ResNet(nn.Module):
    """Stem, stages of blocks, mean over the image, one linear layer.

    The first stage has `width` channels (times the block's expansion, 4 for depth 50); each
    further one has twice as many on half the pixels. He et al., arXiv 1512.03385.
    """

    def __init__(
        self, *, depth: int, stem: Stem, width: int, in_channels: int, classes: int
    ) -> None:
        """`depth` is a key of `BLOCKS`."""
        super().__init__()
        block, counts = BLOCKS[depth]
        kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
        first = _conv(in_channels, width, kernel, stride)
        self.stem = nn.Sequential(first, BatchNorm2d(width), nn.ReLU())
        if stem == "standard":
            self.stem.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        stages, before = [], width
        for number, count in enumerate(counts):
            planes = width * 2**number
            stages.append(_stage(block, before, planes, count, stride=1 if number == 0 else 2))
            before = planes * block.expansion
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Float N×in_channels×H×W → logits N×classes."""
        features = self.stages(self.stem(images))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _stage(block: Block, before: int, planes: int, count: int, stride: int) -> nn.Sequential:
    after = planes * block.expansion
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(_conv(before, after, 1, stride), BatchNorm2d(after))
    first = block(before, planes, stride, shortcut)
    rest = (block(after, planes, 1, None) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def _conv(before: int, after: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
