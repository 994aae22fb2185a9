"""A short digest of data, to see whether they are still those that a run began with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.data.base import Source
from experiments.errors import UserError

Part = bytes | Tensor | NDArray[Any]

READ_WHOLE = 256 * 1024**2
"""Bytes up to which all of a source is read for its digest, which takes some tenths of a second."""
SAMPLES = 256
"""Evenly spaced parts that are read of a source that is larger."""


def digest(parts: Iterable[Part]) -> str:
    """16 hexadecimal digits of the parts' bytes and lengths, the same on every machine."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, bytes):
            found.update(f"{len(part)}\n".encode())
            found.update(part)
        else:
            array = part.numpy() if isinstance(part, Tensor) else part
            found.update(f"{array.dtype.name} {array.nbytes}\n".encode())
            found.update(np.ascontiguousarray(array).reshape(-1).data)
    return found.hexdigest()


def evenly_spaced(count: int, wanted: int = SAMPLES) -> range:
    """At most `wanted` of the numbers 0 … count-1, the first among them."""
    return range(0, count, max(1, -(-count // wanted)))


def contents_of_files(paths: Sequence[str]) -> Iterator[bytes]:
    """The files' places below the folder above theirs, their sizes, and their bytes.

    Of many bytes only those of some files, so that a picture that is exchanged for one of the same
    size may be missed among many. Raises `UserError` for a file that cannot be read.
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
    """The array's first axis whole, or evenly spaced stretches of it where that would take long."""
    if array.nbytes <= READ_WHOLE:
        yield array
        return
    stretch = max(1, READ_WHOLE // SAMPLES * len(array) // array.nbytes)
    for start in evenly_spaced(len(array)):
        yield array[start : start + stretch]
    yield array[-stretch:]


def contents_of(source: Source) -> Iterable[Part]:
    """What `source.contents()` gives, else evenly spaced examples of it."""
    contents = getattr(source, "contents", None)
    if contents is not None:
        found: Iterable[Part] = contents()
        return found
    batch = source.batch(torch.tensor(evenly_spaced(len(source))), None)
    return [batch[key] for key in sorted(batch)]
