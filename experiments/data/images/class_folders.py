"""Files of training images in class folders: their paths and classes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from experiments.errors import UserError, reason_of

log = logging.getLogger(__name__)


class ImageFiles(NamedTuple):
    """The images of a split: their paths, their labels (int64 N), the names of the classes."""

    paths: list[str]
    labels: Tensor
    classes: list[str]


def list_images(*folders: Path) -> ImageFiles:
    """The images below `<class>/` in the first folder that is there, in torchvision's order.

    Hidden files and folders (names that begin with a dot) are skipped; files that are not images
    are left out with one warning. Tiny-ImageNet's `val/`, which has its classes in a text file, is
    read as it is. Raises `UserError` for a class without images, and for a single class.
    """
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise UserError(
            f"no such folder: {' nor '.join(map(str, folders))}; task.folder is an absolute path "
            "or lies below data_root (data_root=… or SLS_DATA_ROOT), and holds train/<class>/* and "
            "test/<class>/* or val/"
        )
    # Tiny-ImageNet's file of the classes of `val/images/`.
    annotations = folder / "val_annotations.txt"
    annotated = annotations.is_file()
    samples = _annotated_images(annotations) if annotated else _images_of_classes(folder)
    classes = sorted({name for _, name in samples})
    _require_classes(annotations if annotated else folder, classes)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([numbers[name] for _, name in samples])
    return ImageFiles([path for path, _ in samples], labels, classes)


def _images_of_classes(folder: Path) -> list[tuple[str, str]]:
    """The path and the class of each image below `<class>/`."""
    classes = [path.name for path in _visible(folder) if path.is_dir()]
    if not classes:
        raise UserError(f"{folder}: has no class folders")
    left_out: list[str] = []

    def is_image(path: str) -> bool:
        below = path.removeprefix(str(folder)).split(os.sep)
        if any(part.startswith(".") for part in below):
            return False
        if path.lower().endswith(IMG_EXTENSIONS):
            return True
        # Tiny-ImageNet's boxes, one file per class, are where they belong.
        if below[-1] != f"{below[1]}_boxes.txt":
            left_out.append(path)
        return False

    try:
        names = dict(zip(classes, classes, strict=True))
        samples: list[tuple[str, str]] = make_dataset(str(folder), names, is_valid_file=is_image)
    except OSError as error:
        raise UserError(f"{folder}: {reason_of(error)}") from error
    left_out += [str(path) for path in _visible(folder) if path.is_file()]
    if left_out:
        suffixes = Counter(Path(path).suffix.lower() or "no suffix" for path in left_out)
        counts = ", ".join(f"{suffix} {count}" for suffix, count in suffixes.most_common(5))
        log.warning(
            "%s: %s files are left out because they are not in a class folder or have no suffix of "
            "an image (%s), the first of them %s",
            *(folder, len(left_out), counts, left_out[0]),
        )
    return samples


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _require_classes(place: Path, classes: list[str]) -> None:
    """Refuse a single class, whose loss is 0 from the start; say where classes seem to lie."""
    if len(classes) > 1:
        return
    hint = ""
    between, deeper = place, [place / classes[0]] if place.is_dir() else []
    while len(deeper) == 1:
        between, deeper = deeper[0], [path for path in _visible(deeper[0]) if path.is_dir()]
    if deeper:
        names = ", ".join(f"'{path.name}'" for path in deeper[:3]) + ", …" * (len(deeper) > 3)
        hint = f"; {between} holds {names}: if these are the classes, move them up to {place}"
    raise UserError(
        f"{place}: only one class, '{classes[0]}', so that there is nothing to learn; "
        f"every class needs a folder of its own{hint}"
    )


def _annotated_images(file: Path) -> list[tuple[str, str]]:
    """The path and the class of each image of `images/`; a line is its name, class and box."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {reason_of(error)}") from error
    samples = []
    for number, line in enumerate(lines, start=1):
        name, label = (*line.split("\t"), "")[:2]
        if not name or not label or "/" in name:
            raise UserError(f"{file}, line {number}: must be an image's name, a tab and its class")
        if not (file.parent / "images" / name).is_file():
            raise UserError(f"{file}, line {number}: no such image: images/{name}")
        samples.append((str(file.parent / "images" / name), label))
    if not samples:
        raise UserError(f"{file}: has no images")
    return samples
