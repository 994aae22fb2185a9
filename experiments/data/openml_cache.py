"""What lies of an OpenML set in scikit-learn's cache.

`fetch_openml` cannot be told to stay off the network, and deletes files that it cannot read; so
all that it would read is looked at first.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from experiments.errors import MissingError, UserError


def require_cached(cache: Path, name: str, version: int, message: str) -> None:
    """Raise `MissingError` unless all files of the set are in `cache` and whole.

    `message` is formatted with what is wrong.
    """
    api = "api/v1/json/data"
    try:
        # OpenML does not mind capitals in a name; the cache has them small.
        found = _json(cache, f"{api}/list/data_name/{name.lower()}/limit/2/data_version/{version}")
        number = found["data"]["dataset"][0]["did"]
        description = _json(cache, f"{api}/{number}")["data_set_description"]
        sparse = description["format"].lower() == "sparse_arff"
        for part in ("features",) if sparse else ("features", "qualities"):
            _json(cache, f"{api}/{part}/{number}")
        data = cache / "openml.org" / f"{urlparse(description['url']).path.lstrip('/')}.gz"
        checksum = hashlib.md5(_read(data), usedforsecurity=False).hexdigest()
        if checksum != description["md5_checksum"]:
            raise UserError(f"{data} is not what OpenML says that it is (its MD5 sum)")
    except (KeyError, IndexError, TypeError) as error:
        raise MissingError(message.format(f"the cache {cache} is broken: no {error}")) from error
    except UserError as error:
        raise MissingError(message.format(error)) from error


def _json(cache: Path, place: str) -> dict[str, Any]:
    path = cache / "openml.org" / f"{place}.gz"
    try:
        value: dict[str, Any] = json.loads(_read(path))
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return value


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
