"""Where a task's data lie: below `data_root`, or at an absolute path."""

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
