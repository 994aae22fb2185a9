"""Files of pictures: found in class folders, decoded to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder

from experiments.errors import UserError


@dataclass(frozen=True)
class ImageFiles:
    """The pictures of a split: their paths, their labels (int64 N), the names of the classes."""

    paths: list[str]
    labels: Tensor
    classes: list[str]


def validation_folder(folder: Path) -> Path:
    """`test/` below `folder`, or `val/` where there is no `test/`."""
    for name in ("test", "val"):
        if (folder / name).is_dir():
            return folder / name
    raise _missing(folder / "test", f"(nor {folder / 'val'})")


def list_images(folder: Path) -> ImageFiles:
    """The pictures below `folder/<class>/`, in torchvision's order of classes and files."""
    if not folder.is_dir():
        raise _missing(folder)
    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: {error}") from error
    paths = [path for path, _ in found.samples]
    return ImageFiles(paths, torch.tensor(found.targets, dtype=torch.int64), found.classes)


def decode(path: str, size: int) -> Tensor:
    """The picture as RGB, resized to size × size pixels: uint8 3×size×size."""
    try:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    # Pillow's decoders raise SyntaxError for a broken PNG.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: this picture does not decode: {error}") from error
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def decode_all(paths: Sequence[str], size: int) -> Tensor:
    """The pictures as one tensor, uint8 N×3×size×size."""
    pixels = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    for i, path in enumerate(paths):
        pixels[i] = decode(path, size)
    return pixels


def _missing(folder: Path, more: str = "") -> UserError:
    looked = f"{folder} {more}".strip()
    return UserError(
        f"no such folder: {looked}; task.folder is an absolute path or lies below data_root "
        "(data_root=… or SLS_DATA_ROOT), and holds train/<class>/* and test/<class>/* or val/"
    )
