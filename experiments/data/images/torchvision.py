"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, as torchvision stores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets

from experiments.data.images.sources import ImageData, InMemory, Normalisation
from experiments.errors import MissingError
from experiments.network import require_answer


@dataclass(frozen=True)
class _Kind:
    """How torchvision calls a data set, its folder below the root, and its pictures."""

    cls: type[datasets.CIFAR10] | type[datasets.MNIST]
    folder: str
    channels: int
    size: int
    classes: int

    @property
    def urls(self) -> list[str]:
        """Where torchvision fetches it from: any of these."""
        return self.cls.mirrors if issubclass(self.cls, datasets.MNIST) else [self.cls.url]


_KINDS = {
    "cifar10": _Kind(datasets.CIFAR10, "cifar-10-batches-py", 3, 32, 10),
    "cifar100": _Kind(datasets.CIFAR100, "cifar-100-python", 3, 32, 100),
    "mnist": _Kind(datasets.MNIST, "MNIST/raw", 1, 28, 10),
    "fashion_mnist": _Kind(datasets.FashionMNIST, "FashionMNIST/raw", 1, 28, 10),
}

_ADVICE = "set data_root to where it lies, or task.download=true to fetch it"
_MENDING = "delete what is broken there and set task.download=true to fetch it"

# What torchvision raises: for missing files and checksums, without network, for torn files (its
# reader of idx files asserts).
_FAILURES = (RuntimeError, OSError, ValueError, AssertionError, EOFError)


def torchvision_set(root: Path, name: str, *, augment: bool, download: bool) -> ImageData:
    """The data set `name` in its own folder below `root`; torchvision's test part is validation.

    Normalised by the training part's mean and standard deviation; `augment` is for training.
    Files are fetched only where `download` is true. Raises `UserError` for what is missing.
    """
    kind = _KINDS[name]
    train, validation = (_read(root, name, part, download) for part in (True, False))
    normalise = Normalisation.of(train[0])
    return ImageData(
        InMemory(*train, normalise, augment),
        InMemory(*validation, normalise, augment=False),
        channels=kind.channels,
        size=kind.size,
        classes=kind.classes,
    )


def torchvision_folder(root: Path, name: str) -> Path:
    """Where the data set `name` lies below `root`."""
    return root / _KINDS[name].folder


def _read(root: Path, name: str, train: bool, download: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures, uint8 N×C×H×W, and their labels, int64 N."""
    kind = _KINDS[name]
    folder = torchvision_folder(root, name)
    if not download and not folder.is_dir():
        raise MissingError(f"{name}: no such folder: {folder}; {_ADVICE}")
    try:
        part = _part(kind, root, train, download)
    except _FAILURES as error:
        if download:
            raise MissingError(f"{name}: could not be downloaded to {folder}: {error}") from error
        reason = f"{error or 'torn file'}; {_MENDING}"
        raise MissingError(f"{name}: missing or broken in {folder}: {reason}") from error
    pixels = torch.as_tensor(part.data)
    pixels = pixels.permute(0, 3, 1, 2) if kind.channels == 3 else pixels[:, None]
    return pixels.contiguous(), torch.as_tensor(part.targets).long()


def _part(kind: _Kind, root: Path, train: bool, download: bool) -> Any:
    """The object of torchvision; the network is asked for only what is not there."""
    try:
        return kind.cls(root, train=train)
    except _FAILURES:
        if not download:
            raise
    require_answer(*kind.urls)
    return kind.cls(root, train=train, download=True)
