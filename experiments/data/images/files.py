"""Pictures as the world has them, decoded to eight bits a channel: RGB, or a refusal by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION
from torch import Tensor

from experiments.errors import UserError

EIGHT_BITS = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
)
"""Pillow's modes that it converts to RGB without loss of range. Transparency is ignored, as
torchvision does: a pixel has the colour that it has below it."""

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")

_MEANING = {"I": "whole numbers of 32 bits", "F": "floats", "LAB": "CIE L*a*b*"}
_WHITE_IS_ZERO = 0


def open_rgb(path: str) -> Image.Image:
    """The picture, decoded, as RGB and of its own size.

    Grey of 16 bits (of 12 in TIFF) keeps its upper eight, as colours of 16 bits do. Raises
    `UserError`, which names the file, for one that does not decode, for whole numbers of 32 bits
    and floats, whose white nobody knows, and for more pixels than Pillow takes for sane.
    """
    # A pipe would be waited for.
    if not os.path.isfile(path):
        raise UserError(f"{path}: is no file that can be read")
    try:
        with warnings.catch_warnings():
            # Pillow warns above `MAX_IMAGE_PIXELS`, where a picture takes a gigabyte.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _as_rgb(picture, path)
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path}: this picture is too large to decode, above {Image.MAX_IMAGE_PIXELS:,} "
            f"pixels; make it smaller ({error})"
        ) from error
    # Which exception a broken file raises depends on its decoder.
    except Exception as error:
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"{path}: this picture does not decode: {reason or type(error).__name__}"
        ) from error


def as_pixels(picture: Image.Image) -> Tensor:
    """An RGB picture as uint8 3×height×width."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def decode(path: str, size: int) -> Tensor:
    """The picture as RGB, squeezed to size × size pixels: uint8 3×size×size."""
    return as_pixels(open_rgb(path).resize((size, size), Image.Resampling.BILINEAR))


def decode_all(paths: Sequence[str], size: int) -> Tensor:
    """The pictures as one tensor, uint8 N×3×size×size."""
    pixels = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    for i, path in enumerate(paths):
        pixels[i] = decode(path, size)
    return pixels


def _as_rgb(picture: Image.Image, path: str) -> Image.Image:
    if picture.mode in EIGHT_BITS:
        return picture.convert("RGB")
    # Pillow spreads a PGM's own range over 16 bits, and calls the result "I".
    if picture.mode in SIXTEEN_BITS or (picture.mode == "I" and picture.format == "PPM"):
        return _upper_eight_bits(picture).convert("RGB")
    raise UserError(
        f"{path}: this picture has the mode '{picture.mode}' ({_MEANING.get(picture.mode, '?')}), "
        "which has no known white; save it with 8 or 16 bits a channel"
    )


def _upper_eight_bits(picture: Image.Image) -> Image.Image:
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(BITSPERSAMPLE, (16,))[0]
    grey = (np.asarray(picture) >> (bits - 8)).astype(np.uint8)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)
