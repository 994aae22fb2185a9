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

ANNOTATIONS = "val_annotations.txt"
"""Tiny-ImageNet's file of the classes of `val/images/`."""


class ImageFiles(NamedTuple):
    """The images of a split: their paths, their labels (int64 N), the names of the classes."""

    paths: list[str]
    labels: Tensor
    classes: list[str]


def validation_folder(folder: Path, name: str | None = None) -> Path:
    """`<name>/` below `folder`; without a name `test/`, or `val/` where there is no `test/`."""
    folders = [folder / part for part in ([name] if name else ["test", "val"])]
    for candidate in folders:
        if candidate.is_dir():
            return candidate
    raise _missing(*folders)


def list_images(folder: Path) -> ImageFiles:
    """The images below `folder/<class>/`, in torchvision's order of classes and files.

    Hidden files and folders (names that begin with a dot) are skipped; files that are not images
    are left out with one warning. Tiny-ImageNet's `val/`, which has its classes in a text file, is
    read as it is. Raises `UserError` for a class without images, and for a single class.
    """
    if not folder.is_dir():
        raise _missing(folder)
    if (folder / ANNOTATIONS).is_file():
        return _annotated_images(folder)
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

    numbers = {name: number for number, name in enumerate(classes)}
    try:
        samples = make_dataset(str(folder), numbers, is_valid_file=is_image)
    except OSError as error:
        raise UserError(f"{folder}: {reason_of(error)}") from error
    labels = torch.tensor([number for _, number in samples], dtype=torch.int64)
    _require_classes(folder, classes)
    left_out += [str(path) for path in _visible(folder) if path.is_file()]
    if left_out:
        _warn_of_left_out(folder, left_out)
    return ImageFiles([path for path, _ in samples], labels, classes)


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


def _warn_of_left_out(folder: Path, paths: list[str]) -> None:
    suffixes = Counter(Path(path).suffix.lower() or "no suffix" for path in paths)
    counts = ", ".join(f"{suffix} {count}" for suffix, count in suffixes.most_common(5))
    log.warning(
        "%s: %s files are left out because they are not in a class folder or have no suffix of an "
        "image (%s), the first of them %s",
        *(folder, len(paths), counts, paths[0]),
    )


def _annotated_images(folder: Path) -> ImageFiles:
    """`images/<name>` below `folder`; a line of the annotations is its name, class and box."""
    file = folder / ANNOTATIONS
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{file}: cannot be read: {reason}") from error
    paths, labels = [], []
    for number, line in enumerate(lines, start=1):
        name, label = (*line.split("\t"), "")[:2]
        if not name or not label or "/" in name:
            raise UserError(f"{file}, line {number}: must be an image's name, a tab and its class")
        if not (folder / "images" / name).is_file():
            raise UserError(f"{file}, line {number}: no such image: images/{name}")
        paths.append(str(folder / "images" / name))
        labels.append(label)
    if not paths:
        raise UserError(f"{file}: has no images")
    classes = sorted(set(labels))
    _require_classes(file, classes)
    numbers = {name: number for number, name in enumerate(classes)}
    return ImageFiles(paths, torch.tensor([numbers[label] for label in labels]), classes)


def _missing(*folders: Path) -> UserError:
    return UserError(
        f"no such folder: {' nor '.join(map(str, folders))}; task.folder is an absolute path or "
        "lies below data_root (data_root=… or SLS_DATA_ROOT), and holds train/<class>/* and "
        "test/<class>/* or val/"
    )
