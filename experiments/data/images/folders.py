"""Folders of training images as sources: decoded once, or batch by batch, by workers if any."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from experiments.data.base import Batch
from experiments.data.contents import Part, contents_of_files, evenly_spaced
from experiments.data.images.class_folders import ImageFiles, list_images
from experiments.data.images.crops import box_of, middle, random_draws
from experiments.data.images.sources import ImageData, InMemory, Normalisation, crop_and_flip
from experiments.errors import UserError

Crop = Literal["padded", "resized"]
"""`padded`: squeezed to size × size, then `crop_and_flip`; `resized`: ImageNet's views."""

MEMORY_LIMIT = 2 * 1024**3
"""Bytes of decoded images in a split up to which all are decoded once, into memory."""
WITHOUT_WHITE = {"I": "whole numbers of 32 bits", "F": "floats", "LAB": "CIE L*a*b*"}
"""Pillow's modes that it cannot convert to RGB without loss of range."""


@dataclass(frozen=True)
class Decoded:
    """Images that are decoded when their batch is made. Batch keys: images, labels."""

    files: ImageFiles
    size: int
    normalise: Normalisation
    augment: bool
    crop: Crop

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labels(self) -> Tensor:
        return self.files.labels

    def contents(self) -> Iterable[Part]:
        yield self.labels
        yield from contents_of_files(self.files.paths)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """`images` is float32 N×3×size×size; augmented if the source augments with a generator."""
        paths = [self.files.paths[index] for index in indices.tolist()]
        pixels = decode(paths, self.size, self.crop, generator if self.augment else None)
        return {"images": self.normalise(pixels), "labels": self.labels[indices]}


def image_folder(
    folder: Path,
    size: int,
    augment: bool,
    *,
    crop: Crop = "padded",
    validation: str | None = None,
    normalise: Normalisation | None = None,
) -> ImageData:
    """The images below `folder`, 3×size×size: `train/<class>/*` and `test/` or `val/`.

    `augment` is for training. `normalise` None: by the training part's mean and standard
    deviation. Raises `UserError` for a missing folder, classes that differ, an image that does
    not decode (for images that are not kept in memory: when their batch is made).
    """
    files = list_images(folder / "train")
    validation_folders = [validation] if validation else ["test", "val"]
    held_out_files = list_images(*(folder / part for part in validation_folders))
    if files.classes != held_out_files.classes:
        odd = sorted(set(files.classes) ^ set(held_out_files.classes))
        raise UserError(
            f"{folder}: the classes for training and validation differ; "
            f"in one of the two only: {', '.join(odd)}"
        )
    train = _source(files, size, normalise, augment, crop)
    held_out = _source(held_out_files, size, train.normalise, False, crop)
    return ImageData(train, held_out, channels=3, size=size, classes=len(files.classes))


def _source(
    files: ImageFiles, size: int, normalise: Normalisation | None, augment: bool, crop: Crop
) -> InMemory | Decoded:
    """The source for these files; `normalise` None: by their own statistics."""
    image_bytes = 3 * size * size
    if crop == "padded" and len(files.paths) * image_bytes <= MEMORY_LIMIT:
        pixels = decode(files.paths, size, crop)
        normalise = normalise or Normalisation.of(pixels)
        return InMemory(pixels, files.labels, normalise, augment, files.paths)
    if normalise is None:
        # Of 10,000 evenly spaced images, or as many as fit into memory.
        wanted = min(10_000, max(1, MEMORY_LIMIT // image_bytes))
        sample = [files.paths[index] for index in evenly_spaced(len(files.paths), wanted)]
        normalise = Normalisation.of(decode(sample, size, crop))
    return Decoded(files, size, normalise, augment, crop)


def decode(
    paths: Sequence[str], size: int, crop: Crop, generator: torch.Generator | None = None
) -> Tensor:
    """The images as uint8 N×3×size×size; augmented if there is a generator."""
    if crop == "resized" and generator is not None:
        draws = random_draws(len(paths), generator)
        flips = torch.rand(len(paths), generator=generator) < 0.5
    pixels = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    for row, path in enumerate(paths):
        image = open_rgb(path)
        if crop == "resized" and generator is None:
            image = middle(image, size)
        elif crop == "resized":
            image = image.crop(box_of(draws[row], *image.size))
        pixels[row] = pil_to_tensor(image.resize((size, size), Image.Resampling.BILINEAR))
    if generator is None:
        return pixels
    if crop == "padded":
        return crop_and_flip(pixels, generator)
    return torch.where(flips[:, None, None, None], pixels.flip(3), pixels)


def open_rgb(path: str) -> Image.Image:
    """The image, decoded, as RGB and in its own size.

    Grey of 16 bits (of 12 in TIFF) keeps its upper eight, as colours of 16 bits do. Raises
    `UserError` with the file's name for an image that does not decode, for whole numbers of 32
    bits and floats, whose white is unknown, and for more pixels than Pillow's limit.
    """
    # A pipe would be waited for.
    if not os.path.isfile(path):
        raise UserError(f"{path}: not a file that can be read")
    try:
        # Pillow warns above `MAX_IMAGE_PIXELS`, where an image takes a gigabyte.
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(path) as image,
        ):
            return _as_rgb(image, path)
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path}: this image is too large to decode, above {Image.MAX_IMAGE_PIXELS:,} "
            f"pixels; make it smaller ({error})"
        ) from error
    # The kind of exception for a broken file depends on its decoder.
    except Exception as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"{path}: this image does not decode: {reason or type(error).__name__}"
        ) from error


def _as_rgb(image: Image.Image, path: str) -> Image.Image:
    # Pillow spreads a PGM's own range over 16 bits, and calls the result "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        tags = getattr(image, "tag_v2", {})
        bits = tags.get(BITSPERSAMPLE, (16,))[0]
        grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
        white_is_zero = tags.get(PHOTOMETRIC_INTERPRETATION) == 0
        return Image.fromarray(255 - grey if white_is_zero else grey).convert("RGB")
    if image.mode in WITHOUT_WHITE:
        raise UserError(
            f"{path}: this image has the mode '{image.mode}' ({WITHOUT_WHITE[image.mode]}), "
            "which has no known white; save it with 8 or 16 bits a channel"
        )
    # Transparency is ignored, as torchvision does: a pixel has the colour that it has below it.
    return image.convert("RGB")
