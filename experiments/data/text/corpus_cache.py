"""Token arrays of long texts on disk: written once, by one process; read by memory map."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experiments.data.text.blocks import Tokens
from experiments.errors import UserError
from experiments.files.atomic import DiskError, atomic_file, disk

FORMAT = 1
"""Increased when tokens are made or written differently."""


def cached_tokens(
    folder: Path,
    name: str,
    key: Mapping[str, object],
    dtype: DTypeLike,
    chunks: Callable[[], Iterable[NDArray[Any]]],
) -> Tokens:
    """The tokens of all `chunks`, read from a file if they are on disk already.

    The file is `<name>-<hash of key>.npy` in `folder`; `key` must hold everything that the tokens
    depend on. Of several processes that want the same tokens one writes and the others wait. A
    process that is killed leaves a temporary file, which the next one that writes these tokens
    deletes.
    """
    text = json.dumps({"format": FORMAT, "dtype": np.dtype(dtype).name, **key}, sort_keys=True)
    path = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
    try:
        if not path.is_file():
            with disk(folder):
                folder.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_name(f".{path.name}.lock")):
                # Another process may have written it while this one waited.
                if not path.is_file():
                    with atomic_file(path) as file:
                        _write(file, dtype, chunks())
    except DiskError as error:
        raise UserError(
            f"cache_dir: tokens cannot be kept in {folder} ({error.reason}); "
            "set it to a folder that can be written"
        ) from error
    open_file = partial(np.load, path, mmap_mode="r", allow_pickle=False)
    try:
        return Tokens(open_file, 0, len(open_file()))
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is broken ({error}); delete it to make it anew") from error


def file_bytes(path: Path) -> Tokens:
    """The bytes of a file as they are; nothing is cached."""
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path}: the file is empty")
    return Tokens(partial(np.memmap, path, dtype=np.uint8, mode="r"), 0, size)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds `path`; a process that dies gives the lock back."""
    with disk(path):
        # The lock's name can be guessed: a link there, which may lead anywhere, is refused.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(path, flags, 0o666)
    try:
        # Without locks on this file system several processes do the same work at worst, since each
        # has a temporary file of its own.
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _write(file: BinaryIO, dtype: DTypeLike, chunks: Iterable[NDArray[Any]]) -> None:
    """One array of all chunks in numpy's format, whose length is known only at the end."""
    count = 0
    header = np.lib.format.header_data_from_array_1_0(np.empty(count, dtype))
    np.lib.format.write_array_header_1_0(file, header)
    for chunk in chunks:
        file.write(chunk.astype(dtype, casting="same_kind").tobytes())
        count += len(chunk)
    if count == 0:
        raise UserError("the text of the task is empty")
    # numpy pads the header so that the length of a first dimension can grow in its place.
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, header | {"shape": (count,)})
