"""Safe reading of the files in a folder of results, in which nothing is trusted. No torch.

Whoever can write the folder can write anything: a FIFO in place of a file, YAML that grows without
end, text in place of a number. A function here returns a value of the right shape, None for a file
that is missing, or raises one error with file and reason; it never hangs.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from experiments.errors import UserError
from experiments.files.atomic import DiskError

Shape = TypeVar("Shape", bound=BaseModel)

MEGABYTE = 1 << 20
_LIMIT = 32 * MEGABYTE
_DEEPEST = 32
_LARGEST_INTEGER = 2**63 - 1
# Within these, squares, ratios and sums of a report's numbers are finite.
_LARGEST, _SMALLEST = 1e100, 1e-100
# Control characters and halves of surrogate pairs, which no file or picture can show.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Treat a file where a folder is expected as missing.
MISSING = (FileNotFoundError, NotADirectoryError)
# libyaml reads a config ten times as fast; it is not on every machine.
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BrokenFileError(UserError):
    """A file with wrong contents; deleting it helps."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = f"it {reason}"
        """The fault without the file's name."""


class _BrokenError(Exception):
    """Broken contents; the message completes "the file …"."""


def read_json(path: Path, shape: type[BaseModel]) -> dict[str, Any] | None:
    """The JSON object of a file, checked against a shape; None without the file.

    Numbers that are not finite, or above 1e100, become null; text loses control characters. Raises
    `BrokenFileError` for another shape, or no regular file; `DiskError` if it cannot be read.
    """
    return _read(path, _json, shape, "a JSON object")


def read_model(path: Path, shape: type[Shape]) -> Shape | None:
    """As `read_json`, as an object of the shape."""
    value = read_json(path, shape)
    return None if value is None else shape.model_validate(value)


def read_yaml(path: Path, shape: type[BaseModel]) -> dict[str, Any] | None:
    """As `read_json`, for YAML with plain tags and without aliases, which can grow without end."""
    return _read(path, _yaml, shape, "a mapping")


def _read(
    path: Path, parse: Callable[[bytes], Any], shape: type[BaseModel], kind: str
) -> dict[str, Any] | None:
    data = read_bytes(path)
    if data is None:
        return None
    try:
        return _shaped(parse(data), shape, kind)
    except _BrokenError as error:
        raise BrokenFileError(path, str(error)) from error


def json_object(data: bytes, shape: type[BaseModel]) -> dict[str, Any] | None:
    """As `read_json` for a line of a file; None if it is broken."""
    try:
        return _shaped(_json(data), shape, "a JSON object")
    except _BrokenError:
        return None


def is_valid(value: Any, shape: type[BaseModel]) -> bool:
    try:
        shape.model_validate(value)
    except ValidationError:
        return False
    return True


def read_bytes(path: Path, limit: int = _LIMIT) -> bytes | None:
    """The bytes of a regular file, at most `limit`, None if it is not there; errors as above."""
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except MISSING:
        return None
    except OSError as error:
        raise DiskError(path, error) from error
    if len(data) > limit:
        raise BrokenFileError(path, f"has more than {limit // MEGABYTE} MB")
    return data


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO is not waited for."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        kind = "a folder" if stat.S_ISDIR(mode) else "a FIFO, a socket or a device"
        raise BrokenFileError(path, f"is not a file but {kind}")
    return os.fdopen(number, "rb")


# ------------------------------------------------------------------------------ bytes to values


def _json(data: bytes) -> Any:
    try:
        value = json.loads(data.decode("utf-8"), parse_float=_float, parse_constant=lambda _: None)
    except RecursionError as error:
        raise _BrokenError("is nested too deeply") from error
    except ValueError as error:
        raise _BrokenError(f"is not valid JSON ({_short(error)})") from error
    return _plain(value)


def _yaml(data: bytes) -> Any:
    try:
        _refuse_growing(data)
        value = _YAML(data).get_single_data()
    except _BrokenError:
        raise
    except Exception as error:  # PyYAML raises anything for a value that does not fit its tag
        raise _BrokenError(f"is not valid YAML ({_short(error)})") from error
    return _plain(value)


def _refuse_growing(data: bytes) -> None:
    """Check the events only: aliases, and nested merges of them, grow when values are made."""
    depth = 0
    for event in yaml.parse(data, Loader=_YAML):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _BrokenError("is nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            raise _BrokenError("has aliases, which are not allowed")


def _float(text: str) -> float | None:
    value = float(text)
    if abs(value) < _SMALLEST:
        return 0.0
    return value if abs(value) <= _LARGEST else None


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as dictionaries with text keys, lists, text, numbers, booleans and None."""
    if depth > _DEEPEST:
        raise _BrokenError("is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise _BrokenError("has an integer that is too large")
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _shaped(value: Any, shape: type[BaseModel], kind: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _BrokenError(f"is not {kind}")
    try:
        shape.model_validate(value)
    except ValidationError as error:
        raise _BrokenError(f"has a wrong value, {_short(first_fault(error))}") from error
    return value


def first_fault(error: ValidationError) -> str:
    """The first wrong value of a validation: its key and the reason."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    return f"{key}: {first['msg']}" if key else str(first["msg"])


def _short(error: object) -> str:
    return _text(" ".join(str(error).split()))[:160]
