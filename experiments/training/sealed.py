"""Files of torch with a checksum over all their bytes, which `torch.load` reads as ever.

torch writes a zip file whose last two bytes, zero, are the length of the archive's comment. A
sealed file has the checksum as its comment. Files that earlier versions wrote have none; of them
the checksums that zip keeps of its members are compared.
"""

from __future__ import annotations

import pickle
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from experiments.errors import reason_of
from experiments.files.atomic import atomic_file

_MARK = b"sls crc32 "
_COMMENT = len(_MARK) + 8
_NO_COMMENT = b"\0\0"
_END_OF_ARCHIVE = b"PK\5\6"
_END_LENGTH = 22
_CHUNK = 1024**2


class DamagedError(Exception):
    """A file that is not what was written; says why, to stand in a sentence."""


def save_sealed(path: Path, state: Any) -> None:
    """Write `state` atomically, as `torch.save` does, with its checksum."""
    with atomic_file(path) as file:
        summed = _Summed(file)
        torch.save(state, summed)  # type: ignore[arg-type]  # all that it needs is there
        if not summed.end.endswith(_NO_COMMENT):
            raise AssertionError("torch.save has ended the archive with a comment")
        comment = _MARK + f"{summed.sum:08x}".encode()
        file.seek(-len(_NO_COMMENT), 2)
        file.write(len(comment).to_bytes(2, "little") + comment)


def load_sealed(path: Path) -> Any:
    """What `save_sealed` wrote, on the CPU; only tensors and plain values are read.

    Raises:
        DamagedError: if the file is no such file, or a bit of it has changed.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedError("it is not a file")
    with path.open("rb") as file:
        _require_whole(file)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message advises to load it nevertheless.
        raise DamagedError("it holds more than tensors and plain values") from error
    except Exception as error:  # what is no file of torch's can fail in any way
        raise DamagedError(reason_of(error)) from error


class _Summed:
    """Passes on what is written to a file, sums it, and remembers its last bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sum = 0
        self.end = b""

    def write(self, data: bytes) -> int:
        self.sum = zlib.crc32(data, self.sum)
        self.end = self.end[-1:] + bytes(data[-2:])
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _require_whole(file: BinaryIO) -> None:
    """Raise `DamagedError` unless the checksum fits, or there never was one and zip's fit."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _COMMENT))
    comment = file.read()
    if comment.startswith(_MARK):
        _require_sum(file, size - _COMMENT, comment)
    else:
        _require_members(file, size)


def _require_sum(file: BinaryIO, length: int, comment: bytes) -> None:
    found = 0
    for chunk in _chunks(file, length - len(_NO_COMMENT)):
        found = zlib.crc32(chunk, found)
    found = zlib.crc32(_NO_COMMENT, found)
    declared = int.from_bytes(file.read(len(_NO_COMMENT)), "little")
    if comment != _MARK + f"{found:08x}".encode() or declared != _COMMENT:
        raise DamagedError("it is damaged: its checksum does not fit")


def _chunks(file: BinaryIO, length: int) -> Iterator[bytes]:
    file.seek(0)
    while length > 0:
        chunk = file.read(min(length, _CHUNK))
        if not chunk:
            return
        length -= len(chunk)
        yield chunk


def _require_members(file: BinaryIO, size: int) -> None:
    """Of a file without a checksum: it ends where torch ends it, and zip's own checksums fit."""
    file.seek(max(0, size - _END_LENGTH))
    end = file.read()
    if not (end.startswith(_END_OF_ARCHIVE) and end.endswith(_NO_COMMENT)):
        raise DamagedError("it is damaged, or no checkpoint: its end is missing")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # damaged sizes and offsets raise anything
        raise DamagedError(f"it is damaged: {reason_of(error)}") from error
    if damaged is not None:
        raise DamagedError(f"it is damaged: its part {damaged} has another checksum")
