"""`~` in a path: the home folder, where no shell has put it there. No libraries."""

from __future__ import annotations

from pathlib import Path

from experiments.errors import UserError


def with_home(path: str, key: str) -> str:
    """`path` with the home folder in place of a first `~` or `~user`; other paths as they are.

    Raises:
        UserError: if there is no such user; `key` is where the path was written.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        first = path.split("/")[0]
        raise UserError(
            f"{key}: there is no home folder for '{first}'; write the path out, or './{first}' for "
            "a folder of that name"
        ) from error
