"""The files of a run: names, atomic writes, reading back, one process at a time. No torch."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from experiments.errors import BusyError, UserError

# `struct flock` as F_GETLK reads and writes it: its layout, and where in it the lock's type is.
_FLOCK = {"linux": ("hhqqi4x", 0), "darwin": ("qqihh", 3)}
_TAIL_BYTES = 16_384
# What the summary of a run that is done says of it: it has a result, its loss was not finite any
# more, no step moved a parameter.
ENDS = ("finished", "diverged", "stuck")
# A file among the folders above is no folder that has been made, as far as reading goes.
_MISSING = (FileNotFoundError, NotADirectoryError)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes `path` only when all of it is on the disk.

    A process killed half-way leaves the old `path` and a temporary file, which the next write
    of the same name replaces.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as valid JSON: numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


class RunFolder:
    """The folder of one run. Making the object touches nothing; `create` makes the folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.env_file = self.path / "env.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoint_file = self.path / "checkpoint.pt"
        self.best_file = self.path / "best.pt"
        self.curves_file = self.path / "curves.png"
        self.summary_file = self.path / "summary.json"
        self.plan_file = self.path / "plan.json"
        self.failure_file = self.path / "failure.json"
        self.output_file = self.path / "output.log"
        self.landscape_file = self.path / "landscape.json"
        self.landscape_picture = self.path / "landscape.png"
        self._lock_file = self.path / ".lock"

    def create(self) -> None:
        """Make the folder and the ones above it.

        Raises:
            UserError: if that is not possible.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"results_dir: cannot make the run's folder {self.path}: {error.strerror}"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder; a process that dies gives the lock back.

        Raises:
            BusyError: if another process holds it.
        """
        with self._lock_file.open("wb") as file:
            # A POSIX record lock and not flock: a data worker that outlives its killed parent
            # for some seconds would inherit an flock and keep the resumed run out.
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise self._busy() from error
                if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                    raise
                # This file system has no locks, which is no reason not to train on it.
            yield

    def is_locked(self) -> bool:
        """True while another process holds the lock, which this call never takes.

        F_GETLK tells it; where its layout is not known (neither Linux nor macOS), the lock is
        taken for an instant, in which a run that starts would find the folder in use. Not for the
        process that holds the lock: closing any handle of a file gives up its POSIX locks.
        """
        try:
            with self._lock_file.open("r+b") as file:
                return _is_locked(file)
        except _MISSING:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise
            return False

    def refuse_if_locked(self) -> None:
        """Raise BusyError while another process holds the lock."""
        if self.is_locked():
            raise self._busy()

    def _busy(self) -> BusyError:
        return BusyError(f"{self.path} is in use by another process; wait for it or stop it")

    # ------------------------------------------------------------------- what is written once

    def write_config(self, text: str) -> None:
        """Write `config.yaml`, unless a run that is resumed has written it."""
        if not self.config_file.exists():
            self._write_text(self.config_file, text)

    def write_env(self, env: Mapping[str, Any]) -> None:
        """Write `env.json`, unless a run that is resumed has written it."""
        if not self.env_file.exists():
            self._write_text(self.env_file, json_text(env, indent=2) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`; from then on the run counts as done and not as failed."""
        self._write_text(self.summary_file, json_text(summary, indent=2) + "\n")
        self.failure_file.unlink(missing_ok=True)

    def write_plan(self, **plan: Any) -> None:
        """Write `plan.json`: how long the run is going to be, on what data and machine."""
        self._write_text(self.plan_file, json_text(plan) + "\n")

    def write_failure(self, failure: Mapping[str, Any]) -> None:
        """Write `failure.json`: how the last attempt ended; a summary removes it."""
        self._write_text(self.failure_file, json_text(failure, indent=2) + "\n")

    def _write_text(self, path: Path, text: str) -> None:
        with atomic_file(path) as file:
            file.write(text.encode())

    def config(self) -> dict[str, Any]:
        """The resolved config as plain dictionaries; empty if none was written."""
        if not self.config_file.exists():
            return {}
        config: dict[str, Any] = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        return config

    def summary(self) -> dict[str, Any] | None:
        """The summary of a run that is done, None for any other.

        Raises:
            UserError: if the file is broken, or does not say how the run ended.
        """
        summary = self._object(self.summary_file)
        if summary is not None and summary.get("status") not in ENDS:
            raise UserError(
                f"{self.summary_file} does not say how the run ended; delete it to run again"
            )
        return summary

    def plan(self) -> dict[str, Any] | None:
        """`total_steps`, `steps_per_epoch`, `data`, `machine`; None before they are known."""
        return self._object(self.plan_file)

    def failure(self) -> dict[str, Any] | None:
        """How the last attempt failed, None if none has or a later one finished."""
        return self._object(self.failure_file)

    def _object(self, path: Path) -> dict[str, Any] | None:
        """The JSON object of a file, None without the file."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except _MISSING:
            return None
        except ValueError as error:
            raise UserError(
                f"{path} is not valid JSON ({error}); delete it to run again"
            ) from error
        if not isinstance(value, dict):
            raise UserError(f"{path} is not a JSON object; delete it to run again")
        return value

    # ------------------------------------------------------------------------- metrics.jsonl

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`; a killed process loses at most this line."""
        with self.metrics_file.open("ab") as file:
            file.write(json_text(row).encode() + b"\n")

    def sync_metrics(self) -> int:
        """Bring `metrics.jsonl` to the disk; returns its length in bytes."""
        with self.metrics_file.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def cut_metrics(self, length: int) -> None:
        """Cut `metrics.jsonl` back to its first `length` bytes.

        Raises:
            UserError: if it has fewer.
        """
        with self.metrics_file.open("ab") as file:
            if file.tell() < length:
                raise UserError(
                    f"{self.metrics_file} is shorter than when {self.checkpoint_file.name} was "
                    f"written; delete {self.path} to start anew"
                )
            file.truncate(length)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`; a last line that was only half written is left out.

        Raises:
            UserError: if another line is not a JSON object.
        """
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_bytes().split(b"\n")[:-1]
        return [self._row(number, line) for number, line in enumerate(lines, start=1)]

    def last_step(self) -> dict[str, Any] | None:
        """The last whole row of a training step, None if there is none; reads only the end.

        A row has some 500 bytes, and at most one evaluation's comes after it.
        """
        try:
            with self.metrics_file.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
                file.seek(start)
                lines = file.read().split(b"\n")[:-1]
        except _MISSING:
            return None
        for line in reversed(lines if start == 0 else lines[1:]):
            # Somebody writes while this reads: a line that is none yet is no reason to stop.
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and row.get("event") == "step":
                    return row
        return None

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self.metrics_file}:{number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise UserError(f"{self.metrics_file}:{number}: not a JSON object")
        return row


def _is_locked(file: BinaryIO) -> bool:
    if sys.platform not in _FLOCK:
        return _is_locked_by_trying(file)
    layout, place = _FLOCK[sys.platform]
    fields = [0] * 5
    fields[place] = fcntl.F_WRLCK
    answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields))
    return bool(struct.unpack(layout, answer)[place] != fcntl.F_UNLCK)


def _is_locked_by_trying(file: BinaryIO) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise
    return False
