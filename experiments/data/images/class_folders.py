"""Files of pictures, found in class folders: their paths and classes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from experiments.data.contents import contents_of_files
from experiments.errors import UserError

log = logging.getLogger(__name__)

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

    What is hidden (its name begins with a dot) is passed over; files that are no pictures are left
    out with one warning. Tiny-ImageNet's `val/`, which has its classes in a text file, is read as
    it is. Raises `UserError` for a class without pictures, and where there is only one class.
    """
    if not folder.is_dir():
        raise _missing(folder)
    if (folder / ANNOTATIONS).is_file():
        return _annotated_images(folder)
    names = [path.name for path in _folders_in(folder)]
    if not names:
        raise UserError(f"{folder}: has no class folders")
    left_out: list[Path] = []
    try:
        samples = make_dataset(
            str(folder),
            {name: number for number, name in enumerate(names)},
            is_valid_file=_Pictures(folder, left_out),
        )
    except OSError as error:
        raise UserError(f"{folder}: {_reason(error)}") from error
    labels = torch.tensor([number for _, number in samples], dtype=torch.int64)
    files = ImageFiles([path for path, _ in samples], labels, names)
    _require_classes(folder, files)
    left_out += [path for path in _visible(folder) if path.is_file()]
    if left_out:
        log.warning("%s", _about_left_out(folder, left_out))
    return files


@dataclass(frozen=True)
class _Pictures:
    """Tells which files below a folder are pictures, and collects those that are not."""

    folder: Path
    left_out: list[Path]

    def __call__(self, path: str) -> bool:
        below = path.removeprefix(str(self.folder)).split(os.sep)
        if any(part.startswith(".") for part in below):
            return False
        if path.lower().endswith(IMG_EXTENSIONS):
            return True
        # Tiny-ImageNet's boxes, a file a class, are where they belong.
        if below[-1] != f"{below[1]}_boxes.txt":
            self.left_out.append(Path(path))
        return False


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _require_classes(place: Path, files: ImageFiles) -> None:
    """Refuse a single class: nothing is to be told apart, and the loss is 0 from the start."""
    if len(files.classes) < 2:
        deeper = _where_classes_may_lie(place) if place.is_dir() else ""
        raise UserError(
            f"{place}: only one class, '{files.classes[0]}', so that there is nothing to learn; "
            f"every class needs a folder of its own{deeper}"
        )


def _where_classes_may_lie(folder: Path) -> str:
    """`"; …"` where class folders lie below a folder of `folder`, else nothing."""
    for between in _folders_in(folder):
        place, deeper = between, _folders_in(between)
        while len(deeper) == 1:
            place, deeper = deeper[0], _folders_in(deeper[0])
        if deeper:
            names = ", ".join(f"'{path.name}'" for path in deeper[:3]) + ", …" * (len(deeper) > 3)
            return f"; {place} holds {names}: if these are the classes, move them up to {folder}"
    return ""


def _about_left_out(folder: Path, paths: list[Path]) -> str:
    kinds = Counter(path.suffix.lower() or "no suffix" for path in paths)
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(5))
    return (
        f"{folder}: {len(paths)} files are left out, which are not in a class folder or no "
        f"pictures that are read ({counts}), the first of them {paths[0]}"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _annotated_images(folder: Path) -> ImageFiles:
    """`images/<name>` below `folder`; a line of the annotations is its name, class and box."""
    file = folder / ANNOTATIONS
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {_reason(error)}") from error
    names, classes = [], []
    for number, line in enumerate(lines, start=1):
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
    files = ImageFiles(paths, torch.tensor([number_of[name] for name in classes]), order)
    _require_classes(file, files)
    return files


def _missing(*places: object) -> UserError:
    looked = " ".join(map(str, places))
    return UserError(
        f"no such folder: {looked}; task.folder is an absolute path or lies below data_root "
        "(data_root=… or SLS_DATA_ROOT), and holds train/<class>/* and test/<class>/* or val/"
    )
