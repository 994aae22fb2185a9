"""A short digest of data, to see whether they have changed since a run began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from experiments.errors import UserError

Part = bytes | Tensor | NDArray[Any]

READ_WHOLE = 256 * 1024**2  # bytes of a source, of which a digest takes some tenths of a second
SAMPLES = 256  # the number of evenly spaced parts that are read of a larger source


def digest(parts: Iterable[Part]) -> str:
    """16 hexadecimal digits of the parts' bytes and lengths, the same on every machine."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, bytes):
            state.update(f"{len(part)}\n".encode())
            state.update(part)
        else:
            array = part.numpy() if isinstance(part, Tensor) else part
            state.update(f"{array.dtype.name} {array.nbytes}\n".encode())
            state.update(np.ascontiguousarray(array).reshape(-1).data)
    return state.hexdigest()


def evenly_spaced(count: int, wanted: int = SAMPLES) -> range:
    """At most `wanted` of the numbers 0 … count-1, the first among them."""
    return range(0, count, max(1, -(-count // wanted)))


def contents_of_files(paths: Sequence[str]) -> Iterator[bytes]:
    """Each file's last folder, name and size; then the bytes of all files, or of some of many.

    Among many, a file that was replaced by one of the same size may be missed. Raises `UserError`
    for a file that cannot be read.
    """
    try:
        sizes = [Path(path).stat().st_size for path in paths]
        for path, size in zip(paths, sizes, strict=True):
            yield f"{'/'.join(Path(path).parts[-2:])} {size}".encode("utf-8", "surrogateescape")
        whole = sum(sizes) <= READ_WHOLE
        for index in range(len(paths)) if whole else evenly_spaced(len(paths)):
            yield Path(paths[index]).read_bytes()
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error


def contents_of_array(array: NDArray[Any]) -> Iterator[Part]:
    """The whole array, or evenly spaced stretches of its first axis where that would take long."""
    if array.nbytes <= READ_WHOLE:
        yield array
        return
    stretch = max(1, READ_WHOLE // SAMPLES * len(array) // array.nbytes)
    for start in evenly_spaced(len(array)):
        yield array[start : start + stretch]
    yield array[-stretch:]
