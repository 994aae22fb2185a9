"""Token arrays on disk: written once, atomically, by one process; read by memory map."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experiments.data.text.blocks import Tokens
from experiments.errors import UserError
from experiments.files.atomic import DiskError, atomic_file

FORMAT = 1
"""Counted up when tokens come to be made or written otherwise."""


def cached_tokens(
    folder: Path,
    name: str,
    key: Mapping[str, object],
    dtype: DTypeLike,
    chunks: Callable[[], Iterable[NDArray[Any]]],
) -> Tokens:
    """The tokens that `chunks` gives one after another, from a file if they are on disk already.

    The file is `<name>-<hash of key>.npy` in `folder`; `key` must hold all that the tokens
    depend on. Of several processes that want the same tokens one writes and the others wait. A
    process that is killed leaves a temporary file, which the next one that writes these tokens
    deletes.
    """
    text = json.dumps({"format": FORMAT, "dtype": np.dtype(dtype).name, **key}, sort_keys=True)
    file_name = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
    path = folder / file_name
    if path.is_file():
        return _opened(path)
    _make(folder)
    with _alone(path):
        # Another process may have written it while this one waited.
        if not path.is_file():
            _write(path, dtype, chunks())
    return _opened(path)


def file_bytes(path: Path) -> Tokens:
    """The bytes of a file as they are; nothing is cached."""
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path}: the file is empty")
    return Tokens(partial(np.memmap, path, dtype=np.uint8, mode="r"), 0, size)


def _opened(path: Path) -> Tokens:
    open_file = partial(np.load, path, mmap_mode="r", allow_pickle=False)
    try:
        return Tokens(open_file, 0, len(open_file()))
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is broken ({error}); delete it to make it anew") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(
            f"cache_dir: tokens cannot be kept in {folder}; set it to a folder that can be written"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process writes `path`; a process that dies gives the lock back."""
    with open(path.with_name(f".{path.name}.lock"), "ab", opener=_unlinked) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError:
            # No locks on this file system: at worst several processes do the same work, since each
            # has a temporary file of its own.
            yield
            return
        yield


def _unlinked(path: str, flags: int) -> int:
    """The lock's name can be guessed: a link there, which may lead anywhere, is refused."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _write(path: Path, dtype: DTypeLike, chunks: Iterable[NDArray[Any]]) -> None:
    """Writes the chunks as one array that becomes `path` only when all of it is on the disk."""
    try:
        with atomic_file(path) as file:
            _write_array(file, dtype, chunks)
    except DiskError as error:
        raise UserError(f"cache_dir: cannot write {path}: {error.reason}") from error


def _write_array(file: BinaryIO, dtype: DTypeLike, chunks: Iterable[NDArray[Any]]) -> None:
    count = 0
    _write_header(file, dtype, count)
    for chunk in chunks:
        file.write(chunk.astype(dtype, casting="same_kind").tobytes())
        count += len(chunk)
    if count == 0:
        raise UserError("the text of the task is empty")
    # numpy pads the header so that the length of a first dimension can grow in its place.
    file.seek(0)
    _write_header(file, dtype, count)


def _write_header(file: BinaryIO, dtype: DTypeLike, count: int) -> None:
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": description, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)
