"""Files of pictures: found in class folders, decoded to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder

from experiments.data.contents import contents_of_files
from experiments.errors import UserError

ANNOTATIONS = "val_annotations.txt"
"""Tiny-ImageNet's file of the classes of `val/images/`."""


@dataclass(frozen=True)
class ImageFiles:
    """The pictures of a split: their paths, their labels (int64 N), the names of the classes."""

    paths: list[str]
    labels: Tensor
    classes: list[str]

    def contents(self) -> Iterator[bytes]:
        """Names, sizes and bytes of the files; see `contents_of_files`."""
        return contents_of_files(self.paths)


def validation_folder(folder: Path, name: str | None = None) -> Path:
    """`<name>/` below `folder`; without a name `test/`, or `val/` where there is no `test/`."""
    names = ("test", "val") if name is None else (name,)
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise _missing(folder / names[0], *(f"(nor {folder / name})" for name in names[1:]))


def list_images(folder: Path) -> ImageFiles:
    """The pictures below `folder/<class>/`, in torchvision's order of classes and files.

    Tiny-ImageNet's `val/`, which has its classes in a text file, is read as it is.
    """
    if not folder.is_dir():
        raise _missing(folder)
    if (folder / ANNOTATIONS).is_file():
        return _annotated_images(folder)
    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: {error}") from error
    paths = [path for path, _ in found.samples]
    return ImageFiles(paths, torch.tensor(found.targets, dtype=torch.int64), found.classes)


def _annotated_images(folder: Path) -> ImageFiles:
    """`images/<name>` below `folder`; a line of the annotations is its name, class and box."""
    file = folder / ANNOTATIONS
    names, classes = [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or "/" in fields[0] or not all(fields[:2]):
            raise UserError(f"{file}, line {number}: must be a picture's name, a tab and its class")
        if not (folder / "images" / fields[0]).is_file():
            raise UserError(f"{file}, line {number}: no such picture: images/{fields[0]}")
        names.append(fields[0])
        classes.append(fields[1])
    if not names:
        raise UserError(f"{file}: no pictures in it")
    order = sorted(set(classes))
    number_of = {name: number for number, name in enumerate(order)}
    paths = [str(folder / "images" / name) for name in names]
    return ImageFiles(paths, torch.tensor([number_of[name] for name in classes]), order)


def open_rgb(path: str) -> Image.Image:
    """The picture, decoded, as RGB and of its own size."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    # Pillow's decoders raise SyntaxError for a broken PNG.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: this picture does not decode: {error}") from error


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


def _missing(*places: object) -> UserError:
    looked = " ".join(map(str, places))
    return UserError(
        f"no such folder: {looked}; task.folder is an absolute path or lies below data_root "
        "(data_root=… or SLS_DATA_ROOT), and holds train/<class>/* and test/<class>/* or val/"
    )
