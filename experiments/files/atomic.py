"""Atomic files, which appear whole or not at all, and errors of the disk in one line. No torch."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from experiments.errors import UserError

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Neither a link nor a FIFO under the name of a leftover is followed or waited for.
_LEFT = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DiskError(UserError):
    """A file that the system does not read or write: its path and the system's reason."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.reason = str(error.strerror or error)
        super().__init__(f"{path}: {self.reason}")


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Within, which must touch no other file than `path`, `OSError` becomes `DiskError`."""
    try:
        yield
    except OSError as error:
        raise DiskError(path, error) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes `path` only when all of it is on the disk.

    Several processes may write the same `path`: each has a temporary file of its own, and the last
    one wins. If the writing fails, with `DiskError`, nothing of it stays. A killed process leaves a
    temporary file, which the next write of `path` deletes. `os.pread` can read its descriptor.
    """
    with _staged(path) as (file, temporary):
        yield file
        with disk(path):
            _sync(file)
            os.replace(temporary, path)


def replace_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, of which none is replaced before all are on the disk.

    If one of them cannot be written, with `DiskError`, all are as they were.
    """
    with ExitStack() as stack:
        staged = {path: stack.enter_context(_staged(path)) for path in contents}
        for path, (file, _) in staged.items():
            with disk(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                file.write(contents[path])
                _sync(file)
        for path, (_, temporary) in staged.items():
            with disk(path):
                os.replace(temporary, path)


class _Raw(io.FileIO):
    """Remembers why writing failed: libraries that write through it may raise something else."""

    error: OSError | None = None

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            self.error = error
            raise


@contextmanager
def _staged(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new temporary file beside `path`, gone afterwards unless it was renamed."""
    with disk(path):
        raw, temporary = _create(path)
    file = io.BufferedWriter(raw)
    try:
        yield file, temporary
    except UserError:
        raise
    except Exception as error:
        reason = error if isinstance(error, OSError) and error.filename is None else raw.error
        if reason is None:
            raise
        raise DiskError(path, reason) from error
    finally:
        with suppress(OSError):  # a full disk fails again here
            file.close()
        with suppress(OSError):
            temporary.unlink()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _create(path: Path) -> tuple[_Raw, Path]:
    """A new file beside `path`, locked for as long as it is open."""
    _remove_leftovers(path)
    while True:
        # Not `tempfile`: its files cannot be read by other users.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        raw = _Raw(os.open(temporary, _NEW, 0o666), "wb")
        with suppress(OSError):  # a file system without locks: no process deletes it either
            fcntl.flock(raw, fcntl.LOCK_EX)
        if os.fstat(raw.fileno()).st_nlink > 0:
            return raw, temporary
        # Between the two lines above, another process took it for a leftover.
        raw.close()


def _remove_leftovers(path: Path) -> None:
    """Delete the temporary files of `path` whose writers are dead."""
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(f".{path.name}.") and entry.name.endswith(".tmp"):
                with suppress(OSError), os.fdopen(os.open(entry.path, _LEFT), "wb") as file:
                    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(entry.path)
