"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, as torchvision stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets

from experiments.data.images.sources import ImageData, InMemory, Normalisation
from experiments.data.packages import FETCH, REPLACE
from experiments.errors import MissingError, reason_of
from experiments.network import require_answer

_CLASSES: dict[str, type[datasets.CIFAR10] | type[datasets.MNIST]] = {
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
}


def torchvision_set(root: Path, name: str, *, augment: bool, download: bool) -> ImageData:
    """The data set `name` in its own folder below `root`; torchvision's test part is validation.

    Normalised by the training part. `augment` is for training. Files are fetched only where
    `download` is true. Raises `UserError` for missing files.
    """
    (pixels, labels), validation = (_read(root, name, train, download) for train in (True, False))
    normalise = Normalisation.of(pixels)
    return ImageData(
        InMemory(pixels, labels, normalise, augment),
        InMemory(*validation, normalise, augment=False),
        channels=pixels.shape[1],
        size=pixels.shape[2],
        classes=100 if name == "cifar100" else 10,
    )


def torchvision_folder(root: Path, name: str) -> Path:
    """The folder of the data set `name` below `root`."""
    cls = _CLASSES[name]
    return root / (f"{cls.__name__}/raw" if issubclass(cls, datasets.MNIST) else cls.base_folder)


def _read(root: Path, name: str, train: bool, download: bool) -> tuple[Tensor, Tensor]:
    """The images, uint8 N×C×H×W, and their labels, int64 N."""
    cls: Any = _CLASSES[name]
    folder = torchvision_folder(root, name)
    if not download and not folder.is_dir():
        raise MissingError(f"{name}: no such folder: {folder}; {FETCH}")
    try:
        part = cls(root, train=train)
    # The kind of exception depends on what is missing or torn: torchvision asserts, too.
    except Exception as error:
        if not download:
            reason = f"{reason_of(error)}; {REPLACE}"
            raise MissingError(f"{name}: missing or broken in {folder}: {reason}") from error
        try:
            require_answer(*(cls.mirrors if hasattr(cls, "mirrors") else [cls.url]))
            part = cls(root, train=train, download=True)
        except Exception as failure:
            raise MissingError(
                f"{name}: could not be downloaded to {folder}: {reason_of(failure)}"
            ) from failure
    pixels = torch.as_tensor(part.data)
    pixels = pixels[:, None] if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
    return pixels.contiguous(), torch.as_tensor(part.targets).long()
