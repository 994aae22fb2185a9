"""Where a task's data lie: below `data_root`, or at an absolute path; where tokens are kept."""

from __future__ import annotations

from pathlib import Path

from experiments.errors import UserError


def folder_of(folder: str, data_root: Path | None, key: str = "task.folder") -> Path:
    """The folder that the config's `key` names."""
    path = Path(folder).expanduser()
    return path if path.is_absolute() else root_of(data_root, f"{key} '{folder}'") / path


def root_of(data_root: Path | None, needed_by: str) -> Path:
    """`data_root`; a `UserError` that says who needs it where it is not set."""
    if data_root is None:
        raise UserError(
            f"{needed_by} lies below data_root, which is not set; "
            "set data_root=… or the environment variable SLS_DATA_ROOT"
        )
    return data_root


def roots_of(data_root: str | None, cache_dir: str | None) -> tuple[Path | None, Path | None]:
    """The config's `data_root` and `cache_dir`, which is `.sls_cache` below the first by default.

    They are absolute, so that messages say where it was looked.
    """
    root, cache = _absolute(data_root), _absolute(cache_dir)
    if cache is None and root is not None:
        cache = root / ".sls_cache"
    return root, cache


def _absolute(folder: str | None) -> Path | None:
    return None if folder is None else Path(folder).expanduser().absolute()
