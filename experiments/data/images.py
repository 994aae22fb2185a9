"""Pictures as batches: scikit-learn's digits, and folders of class folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from experiments.data.base import Batch, Source
from experiments.data.image_files import (
    ImageFiles,
    decode,
    decode_all,
    list_images,
    validation_folder,
)
from experiments.errors import UserError

MEMORY_LIMIT = 2 * 1024**3
"""Bytes of decoded pictures in a split up to which all are decoded once, into memory."""

STATISTICS_SAMPLE = 10_000
"""Pictures, evenly spaced, that stand for a training part too large for the memory."""


@dataclass(frozen=True)
class ImageData:
    """Both splits of a data set of pictures, and what a model has to know of them."""

    train: Source
    validation: Source
    channels: int
    size: int
    classes: int


@dataclass(frozen=True)
class Normalisation:
    """`(pixel − mean) / std` for each channel; both tensors are of shape `channels`."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, pixels: Tensor) -> Normalisation:
        """The mean and standard deviation of uint8 pictures N×C×H×W, from their histograms."""
        values = torch.arange(256, dtype=torch.float64)
        shares = torch.stack(
            [torch.bincount(channel.flatten(), minlength=256) for channel in pixels.unbind(1)]
        ).double()
        shares /= shares.sum(1, keepdim=True)
        mean = shares @ values
        variance = (shares * (values - mean[:, None]) ** 2).sum(1)
        std = torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance))
        return cls(mean.float(), std.float())

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 N×C×H×W → float32 of the same shape."""
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]


def crop_and_flip(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A random crop of the size of the picture, after zero padding by size/8, and a random flip.

    `pixels` is N×C×S×S; each picture is moved and flipped on its own.
    """
    n, channels, size, _ = pixels.shape
    padding = size // 8
    width = size + 2 * padding
    padded = torch.nn.functional.pad(pixels, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    flipped = torch.rand(n, 1, generator=generator) < 0.5
    position = torch.arange(size)
    rows = top + position
    columns = left + torch.where(flipped, position.flip(0), position)
    # One gather from flattened pictures is several times faster than indexing rows and columns.
    where = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, size * size)
    picked = padded.view(n, channels, width * width).gather(2, where.expand(n, channels, -1))
    return picked.view(n, channels, size, size)


@dataclass(frozen=True)
class InMemory:
    """Decoded pictures, uint8 N×C×H×W, and their labels, int64 N. Batch keys: images, labels."""

    pixels: Tensor
    labels: Tensor
    normalise: Normalisation
    augment: bool

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """`images` is float32 N×C×H×W; augmented if the source augments and has a generator."""
        pixels = self.pixels[indices]
        if self.augment and generator is not None:
            pixels = crop_and_flip(pixels, generator)
        return {"images": self.normalise(pixels), "labels": self.labels[indices]}


@dataclass(frozen=True)
class Decoding:
    """Pictures that are decoded batch by batch, since together they do not fit in memory."""

    files: ImageFiles
    size: int
    normalise: Normalisation
    augment: bool

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.files.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """As `InMemory.batch`."""
        paths = [self.files.paths[index] for index in indices.tolist()]
        pixels = decode_all(paths, self.size)
        if self.augment and generator is not None:
            pixels = crop_and_flip(pixels, generator)
        return {"images": self.normalise(pixels), "labels": self.files.labels[indices]}


def digits() -> ImageData:
    """scikit-learn's 1,797 pictures of digits, 1×8×8; every fifth picture is validation."""
    data = load_digits()
    pixels = torch.from_numpy(data.images).to(torch.uint8)[:, None]
    labels = torch.from_numpy(data.target).long()
    held_out = torch.arange(len(labels)) % 5 == 0
    normalise = Normalisation.of(pixels[~held_out])
    train = InMemory(pixels[~held_out], labels[~held_out], normalise, augment=False)
    validation = InMemory(pixels[held_out], labels[held_out], normalise, augment=False)
    return ImageData(train, validation, channels=1, size=8, classes=10)


def image_folder(folder: Path, size: int, augment: bool) -> ImageData:
    """The pictures below `folder`, 3×size×size: `train/<class>/*` and `test/` or `val/`.

    Normalised by the training part's mean and standard deviation; `augment` is for training.
    Raises `UserError` for a missing folder, classes that differ, a picture that does not decode.
    """
    train_files = list_images(folder / "train")
    validation_files = list_images(validation_folder(folder))
    _require_same_classes(folder, train_files.classes, validation_files.classes)
    train = _source(train_files, size, augment, None)
    validation = _source(validation_files, size, False, train.normalise)
    return ImageData(train, validation, channels=3, size=size, classes=len(train_files.classes))


def _source(
    files: ImageFiles, size: int, augment: bool, normalise: Normalisation | None
) -> InMemory | Decoding:
    """The source for these files; without a normalisation, by their own statistics."""
    if len(files.paths) * 3 * size * size <= MEMORY_LIMIT:
        pixels = decode_all(files.paths, size)
        normalise = Normalisation.of(pixels) if normalise is None else normalise
        return InMemory(pixels, files.labels, normalise, augment)
    if normalise is None:
        normalise = _sampled_normalisation(files, size)
    return Decoding(files, size, normalise, augment)


def _sampled_normalisation(files: ImageFiles, size: int) -> Normalisation:
    # As many as fit, since the sample itself is decoded into memory.
    fitting = max(1, MEMORY_LIMIT // (3 * size * size))
    every = -(-len(files.paths) // min(STATISTICS_SAMPLE, fitting))
    return Normalisation.of(torch.stack([decode(path, size) for path in files.paths[::every]]))


def _require_same_classes(folder: Path, train: list[str], validation: list[str]) -> None:
    if train != validation:
        odd = sorted(set(train) ^ set(validation))
        raise UserError(
            f"{folder}: the classes for training and validation differ; "
            f"in one of the two only: {', '.join(odd)}"
        )
