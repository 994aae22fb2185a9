"""ImageNet's views of a picture: a random part of it in training, its middle in evaluation.

Szegedy et al., arXiv 1409.4842; the numbers are torchvision's `RandomResizedCrop`'s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from PIL import Image

AREA = (0.08, 1.0)
"""The part's share of the picture's area, drawn evenly."""

PROPORTIONS = (3 / 4, 4 / 3)
"""Its width by its height, drawn evenly on the logarithm's scale."""

TRIES = 10
"""Areas and proportions that are drawn; the first that fits into the picture is taken."""


LONGEST = 8
"""Times its shorter side: what a picture is cut to before its middle is resized."""


class Draws(NamedTuple):
    """The random numbers for one picture, before its size is known; places are 0 to 1."""

    areas: list[float]
    proportions: list[float]
    left: float
    top: float


def random_draws(n: int, generator: torch.Generator) -> list[Draws]:
    """The draws for n pictures: as many numbers whatever the pictures are."""
    areas = torch.empty(n, TRIES, dtype=torch.float64).uniform_(*AREA, generator=generator)
    low, high = map(math.log, PROPORTIONS)
    proportions = torch.empty(n, TRIES, dtype=torch.float64).uniform_(
        low, high, generator=generator
    )
    places = torch.rand(n, 2, dtype=torch.float64, generator=generator)
    rows = zip(areas.tolist(), proportions.exp().tolist(), places.tolist(), strict=True)
    return [Draws(area, shape, left, top) for area, shape, (left, top) in rows]


def box_of(draws: Draws, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part in a picture of width × height pixels.

    Where no draw fits, it is the largest middle part whose proportions are allowed.
    """
    for area, proportion in zip(draws.areas, draws.proportions, strict=True):
        w = round(math.sqrt(area * width * height * proportion))
        h = round(math.sqrt(area * width * height / proportion))
        if 0 < w <= width and 0 < h <= height:
            left = int(draws.left * (width - w + 1))
            top = int(draws.top * (height - h + 1))
            return left, top, left + w, top + h
    low, high = PROPORTIONS
    w = min(width, max(1, round(height * high)))
    h = min(height, max(1, round(width / low)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def resized_part(picture: Image.Image, draws: Draws, size: int) -> Image.Image:
    """The part that `draws` say, resized to size × size pixels."""
    part = picture.crop(box_of(draws, picture.width, picture.height))
    return part.resize((size, size), Image.Resampling.BILINEAR)


def middle(picture: Image.Image, size: int) -> Image.Image:
    """The middle size × size pixels, after resizing the shorter side to size·8/7 (256 for 224)."""
    shorter = round(size * 8 / 7)
    picture = _without_far_ends(picture)
    width, height = (int(shorter * side / min(picture.size)) for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """Long pictures cut around their middle: resized whole, one of 3,000 × 1 takes a gigabyte."""
    limit = LONGEST * min(picture.size)
    # An even number of pixels goes, so that the middle stays where it is.
    left, top = (max(0, (side - limit) // 2) for side in picture.size)
    if left == top == 0:
        return picture
    return picture.crop((left, top, picture.width - left, picture.height - top))
