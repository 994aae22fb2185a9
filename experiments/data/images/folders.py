"""Folders of class folders as sources: decoded once, or batch by batch.

With `workers` it is they who decode, since they make the batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.data.contents import Part
from experiments.data.images.class_folders import ImageFiles, list_images, validation_folder
from experiments.data.images.crops import middle, random_draws, resized_part
from experiments.data.images.files import as_pixels, decode_all, open_rgb
from experiments.data.images.sources import ImageData, InMemory, Normalisation, crop_and_flip
from experiments.errors import UserError

MEMORY_LIMIT = 2 * 1024**3
"""Bytes of decoded pictures in a split up to which all are decoded once, into memory."""

STATISTICS_SAMPLE = 10_000
"""Pictures, evenly spaced, that stand for a training part too large for the memory."""


@dataclass(frozen=True)
class _Decoded(ABC):
    """Pictures that are decoded batch by batch; how is the subclass's."""

    files: ImageFiles
    size: int
    normalise: Normalisation
    augment: bool

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.files.labels)

    @property
    def labels(self) -> Tensor:
        """The labels, int64 N."""
        return self.files.labels

    def contents(self) -> Iterable[Part]:
        """Labels, and the files' contents."""
        yield self.files.labels
        yield from self.files.contents()

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """As `InMemory.batch`."""
        paths = [self.files.paths[index] for index in indices.tolist()]
        pixels = self._pixels(paths, generator if self.augment else None)
        return {"images": self.normalise(pixels), "labels": self.files.labels[indices]}

    @abstractmethod
    def _pixels(self, paths: list[str], generator: torch.Generator | None) -> Tensor:
        """uint8 N×3×size×size, augmented if there is a generator."""


class Squeezed(_Decoded):
    """Pictures squeezed to size × size, since together they do not fit in memory."""

    def _pixels(self, paths: list[str], generator: torch.Generator | None) -> Tensor:
        pixels = decode_all(paths, self.size)
        return pixels if generator is None else crop_and_flip(pixels, generator)


class Resized(_Decoded):
    """ImageNet's pictures: a random part of each, perhaps flipped, or the middle."""

    def _pixels(self, paths: list[str], generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return torch.stack([decode_middle(path, self.size) for path in paths])
        draws = random_draws(len(paths), generator)
        flips = torch.rand(len(paths), generator=generator) < 0.5
        pictures = [
            as_pixels(resized_part(open_rgb(path), draw, self.size))
            for path, draw in zip(paths, draws, strict=True)
        ]
        pixels = torch.stack(pictures)
        return torch.where(flips[:, None, None, None], pixels.flip(3), pixels)


def decode_middle(path: str, size: int) -> Tensor:
    """The middle of the picture, as evaluation sees it: uint8 3×size×size."""
    return as_pixels(middle(open_rgb(path), size))


def image_folder(
    folder: Path,
    size: int,
    augment: bool,
    *,
    crop: Literal["padded", "resized"] = "padded",
    validation: str | None = None,
    normalise: Normalisation | None = None,
) -> ImageData:
    """The pictures below `folder`, 3×size×size: `train/<class>/*` and `test/` or `val/`.

    `augment` is for training. Without `normalise` it is the training part's mean and standard
    deviation. Raises `UserError` for a missing folder, classes that differ, a picture that does
    not decode (for those that are not kept in memory: when their batch is made).
    """
    train_files = list_images(folder / "train")
    validation_files = list_images(validation_folder(folder, validation))
    _require_same_classes(folder, train_files.classes, validation_files.classes)
    source = _resized if crop == "resized" else _squeezed
    train = source(train_files, size, augment, normalise)
    held_out = source(validation_files, size, False, train.normalise)
    return ImageData(train, held_out, channels=3, size=size, classes=len(train_files.classes))


def _squeezed(
    files: ImageFiles, size: int, augment: bool, normalise: Normalisation | None
) -> InMemory | Squeezed:
    """The source for these files; without a normalisation, by their own statistics."""
    if len(files.paths) * 3 * size * size <= MEMORY_LIMIT:
        pixels = decode_all(files.paths, size)
        normalise = Normalisation.of(pixels) if normalise is None else normalise
        return InMemory(pixels, files.labels, normalise, augment, origin=files.contents)
    if normalise is None:
        normalise = Normalisation.of(decode_all(_sample(files, size), size))
    return Squeezed(files, size, normalise, augment)


def _resized(
    files: ImageFiles, size: int, augment: bool, normalise: Normalisation | None
) -> Resized:
    if normalise is None:
        pixels = [decode_middle(path, size) for path in _sample(files, size)]
        normalise = Normalisation.of(torch.stack(pixels))
    return Resized(files, size, normalise, augment)


def _sample(files: ImageFiles, size: int) -> list[str]:
    """Evenly spaced pictures, as many as fit, since they are decoded into memory."""
    fitting = max(1, MEMORY_LIMIT // (3 * size * size))
    every = -(-len(files.paths) // min(STATISTICS_SAMPLE, fitting))
    return files.paths[::every]


def _require_same_classes(folder: Path, train: list[str], validation: list[str]) -> None:
    if train != validation:
        odd = sorted(set(train) ^ set(validation))
        raise UserError(
            f"{folder}: the classes for training and validation differ; "
            f"in one of the two only: {', '.join(odd)}"
        )
