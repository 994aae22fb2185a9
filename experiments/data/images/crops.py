"""ImageNet's views of an image: a random part of it in training, its middle in evaluation.

Szegedy et al., arXiv 1409.4842; the numbers are those of torchvision's `RandomResizedCrop`, which
itself draws from torch's global generator and as many numbers as an image happens to need.
"""

from __future__ import annotations

import math

import torch
from PIL import Image
from torchvision.transforms import functional

AREA = (0.08, 1.0)  # range of the part's share of the image's area, drawn evenly
PROPORTIONS = (3 / 4, 4 / 3)  # of its width by its height, drawn evenly on a logarithmic scale
TRIES = 10  # areas and proportions drawn; the first pair that fits into the image is taken
LONGEST = 8  # longer side, in shorter sides, to which an image is cut before it is resized


Draws = tuple[list[float], list[float], tuple[float, float]]
"""Areas, proportions and a place (left and top, 0 to 1) for an image of still unknown size."""


def random_draws(n: int, generator: torch.Generator) -> list[Draws]:
    """The draws for n images: as many numbers whatever the images are."""
    areas = torch.empty(n, TRIES, dtype=torch.float64).uniform_(*AREA, generator=generator)
    logs = torch.empty_like(areas).uniform_(*map(math.log, PROPORTIONS), generator=generator)
    places = torch.rand(n, 2, dtype=torch.float64, generator=generator)
    return list(zip(areas.tolist(), logs.exp().tolist(), places.tolist(), strict=True))


def box_of(draws: Draws, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part in an image of width × height pixels.

    Where no draw fits, it is the largest middle part whose proportions are allowed.
    """
    areas, proportions, (x, y) = draws
    for area, proportion in zip(areas, proportions, strict=True):
        w = round(math.sqrt(area * width * height * proportion))
        h = round(math.sqrt(area * width * height / proportion))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    low, high = PROPORTIONS
    w = min(width, max(1, round(height * high)))
    h = min(height, max(1, round(width / low)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def middle(image: Image.Image, size: int) -> Image.Image:
    """The middle size × size pixels, after resizing the shorter side to size·8/7 (256 for 224).

    Long images are first cut around their middle: resized whole, 3,000 × 1 pixels take a gigabyte.
    """
    limit = LONGEST * min(image.size)
    # An even number of pixels goes, so that the middle stays where it is.
    left, top = (max(0, (side - limit) // 2) for side in image.size)
    image = image.crop((left, top, image.width - left, image.height - top))
    middle_part: Image.Image = functional.center_crop(
        functional.resize(image, [round(size * 8 / 7)]), [size]
    )
    return middle_part
