"""Sources of images: normalisation, augmentation, images in memory; scikit-learn's digits."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.data.base import Batch, Source
from experiments.data.contents import Part, contents_of_array, contents_of_files

DIGITS_FILE = "datasets/data/digits.csv.gz"
"""Where scikit-learn has its digits, below its own folder."""


@dataclass(frozen=True)
class ImageData:
    """Both splits of a data set of images, and the sizes that a model needs."""

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
    def known(cls, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
        """From a published mean and standard deviation, for pixels of 0 to 1."""
        return cls(255 * torch.tensor(mean), 255 * torch.tensor(std))

    @classmethod
    def of(cls, pixels: Tensor) -> Normalisation:
        """The mean and standard deviation of uint8 images N×C×H×W, from their histograms."""
        values = torch.arange(256, dtype=torch.float64)
        shares = torch.stack(
            [torch.bincount(channel.flatten(), minlength=256) for channel in pixels.unbind(1)]
        ).double()
        shares /= shares.sum(1, keepdim=True)
        mean = shares @ values
        std = (shares * (values - mean[:, None]) ** 2).sum(1).sqrt()
        return cls(mean.float(), torch.where(std > 0, std, 1).float())

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 N×C×H×W → float32 of the same shape."""
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]


def crop_and_flip(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A random crop of the image's own size, after zero padding by size/8, and a random flip.

    `pixels` is N×C×S×S; each image is moved and flipped on its own.
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
    # One gather from flattened images is several times faster than indexing rows and columns.
    where = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, size * size)
    picked = padded.view(n, channels, width * width).gather(2, where.expand(n, channels, -1))
    return picked.view(n, channels, size, size)


@dataclass(frozen=True)
class InMemory:
    """Decoded images, uint8 N×C×H×W, and their labels, int64 N. Batch keys: images, labels."""

    pixels: Tensor
    labels: Tensor
    normalise: Normalisation
    augment: bool
    paths: Sequence[str] | None = None  # the files that were decoded, if there are any

    def __len__(self) -> int:
        return len(self.labels)

    def contents(self) -> Iterable[Part]:
        yield self.labels
        # Files rather than pixels: another version of the decoder may round differently.
        if self.paths is not None:
            yield from contents_of_files(self.paths)
        else:
            yield from contents_of_array(self.pixels.numpy())

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """`images` is float32 N×C×H×W; augmented if the source augments and has a generator."""
        pixels = self.pixels[indices]
        if self.augment and generator is not None:
            pixels = crop_and_flip(pixels, generator)
        return {"images": self.normalise(pixels), "labels": self.labels[indices]}


def digits() -> ImageData:
    """scikit-learn's 1,797 images of digits, 1×8×8; every fifth image is validation."""
    rows = _rows_of_digits()
    pixels, labels = rows[:, :-1].view(-1, 1, 8, 8).to(torch.uint8), rows[:, -1].long()
    held_out = torch.arange(len(labels)) % 5 == 0
    normalise = Normalisation.of(pixels[~held_out])
    train, validation = (
        InMemory(pixels[part], labels[part], normalise, augment=False)
        for part in (~held_out, held_out)
    )
    return ImageData(train, validation, channels=1, size=8, classes=10)


def _rows_of_digits() -> Tensor:
    """A row of 64 pixels and the label for each of scikit-learn's digits.

    They are read without scikit-learn, which takes as long to import as torch, from its own file.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, DIGITS_FILE)
        if file.is_file():
            with gzip.open(file, "rt") as text:
                return torch.from_numpy(np.loadtxt(text, delimiter=","))
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.from_numpy(np.column_stack([data.data, data.target]))
