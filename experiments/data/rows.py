"""What a row of somebody else's table must hold."""

from __future__ import annotations

import reprlib
from typing import Any

from experiments.errors import UserError


def require_text(value: Any, where: str, row: int) -> None:
    """Raise `UserError` where a row, counted from 0, has null or a number in place of text."""
    if not isinstance(value, str):
        raise UserError(f"{where}: row {row} (of 0, 1, …) has no text, but {reprlib.repr(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: row {row} (of 0, 1, …) is not text: {error}") from error
