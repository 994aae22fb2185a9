"""Files of torch with a checksum over all their bytes, which plain `torch.load` reads too.

torch writes a zip file whose last two bytes, zero, are the length of the archive's comment; here
the checksum is that comment. Files of earlier versions have none: for them the checksums that zip
keeps of its members are compared.
"""

from __future__ import annotations

import os
import pickle
import stat
import zipfile
import zlib
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
    """A file that is not what was written; the message completes "it …"."""


def save_with_checksum(path: Path, state: Any) -> None:
    """Write `state` atomically, as `torch.save` does, with its checksum."""
    with atomic_file(path) as file:
        torch.save(state, file)
        file.flush()
        size = file.tell()
        if os.pread(file.fileno(), _END_LENGTH, size - _END_LENGTH)[-2:] != _NO_COMMENT:
            raise AssertionError("torch.save has ended the archive with a comment")
        comment = _MARK + f"{_checksum(file, size):08x}".encode()
        file.seek(-len(_NO_COMMENT), 2)
        file.write(len(comment).to_bytes(2, "little") + comment)


def load_with_checksum(path: Path) -> Any:
    """Read such a file, tensors and plain values, to the CPU; raises `DamagedError`."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedError("it is not a file")
    with path.open("rb") as file:
        _require_whole(file)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message advises to load it anyway.
        raise DamagedError("it holds more than tensors and plain values") from error
    except Exception as error:  # a file that torch did not write can fail in any way
        raise DamagedError(reason_of(error)) from error


def _checksum(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first `size` bytes, the last two of which count as zero."""
    checksum, place, end = 0, 0, size - len(_NO_COMMENT)
    while place < end and (chunk := os.pread(file.fileno(), min(_CHUNK, end - place), place)):
        checksum = zlib.crc32(chunk, checksum)
        place += len(chunk)
    return zlib.crc32(_NO_COMMENT, checksum)


def _require_whole(file: BinaryIO) -> None:
    """Raise `DamagedError` unless the checksum fits, or there never was one and zip's fit."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _COMMENT))
    comment = file.read()
    if not comment.startswith(_MARK):
        _require_members(file, size)
        return
    length = size - _COMMENT
    file.seek(max(0, length - len(_NO_COMMENT)))
    declared = int.from_bytes(file.read(len(_NO_COMMENT)), "little")
    if comment != _MARK + f"{_checksum(file, length):08x}".encode() or declared != _COMMENT:
        raise DamagedError("it is damaged: its checksum does not fit")


def _require_members(file: BinaryIO, size: int) -> None:
    """Raise `DamagedError` unless a file without checksum has torch's end and zip's checksums."""
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
