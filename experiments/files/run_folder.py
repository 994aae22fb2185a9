"""The folder of a run: its place below the results, its files, its lock. No torch.

Nobody else knows names and layout. `metrics.jsonl` is written by `append_row`, one row per line
(called by `training.loggers.base.JsonlLogger`), and read by `rows`, `readable_rows`, `last_step`
and the report's `read.metrics`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import BaseModel

from experiments.errors import BusyError, UserError
from experiments.files.atomic import DiskError, atomic_file, disk
from experiments.files.reading import (
    MEGABYTE,
    MISSING,
    BrokenFileError,
    json_object,
    open_regular,
    read_bytes,
    read_json,
    read_yaml,
)
from experiments.files.shapes import Anything, Failure, Line, Row, RunPlan, Summary

LAYOUT = "<experiment>/<task>-<model>/<optimizer>/s<seed>-<hash>"
"""Place of a run's folder below the folder of results."""
NO_EXPERIMENT = "default"
"""Name of the experiment of a run without one."""
_GLOB = "*/*/*/s*-*"
_DEPTH = 4

# `struct flock` as F_GETLK reads and writes it: its layout, and the place of the lock's type in it.
_FLOCK = {"linux": ("hhqqi4x", 0), "darwin": ("qqihh", 3)}
_TAIL_BYTES = 16_384
METRICS_LIMIT = 4096 * MEGABYTE
# The status in the summary of a finished run: it has a result, its loss was not finite any more,
# or no step moved a parameter.
ENDS = ("finished", "diverged", "stuck")
_LOCK = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class RunPlace(NamedTuple):
    """The parts of a run's folder, as in `LAYOUT`."""

    experiment: str
    problem: str
    """`<task>-<model>`."""
    optimizer: str
    seed: str
    hash: str

    @classmethod
    def of(cls, folder: Path) -> RunPlace:
        """The parts of a folder with this layout."""
        experiment, problem, optimizer, leaf = folder.parts[-_DEPTH:]
        seed, _, digest = leaf[1:].partition("-")
        return cls(experiment, problem, optimizer, seed, digest)

    @property
    def row(self) -> str:
        """The experiment, or `<task>-<model>` without one."""
        return self.problem if self.experiment == NO_EXPERIMENT else self.experiment


def run_place(choices: Mapping[str, str], seed: int, digest: str) -> str:
    """The place of a run, as in `LAYOUT`. A slash in a name becomes an underscore."""
    names = {key: name.replace("/", "_") for key, name in choices.items()}
    problem = f"{names['task']}-{names['model']}"
    return f"{names['experiment']}/{problem}/{names['optimizer']}/s{seed}-{digest}"


def run_name(folder: Path) -> str:
    """The parts of a run's folder below the results, joined by dashes."""
    return "-".join(folder.parts[-_DEPTH:])


def find_runs(results: Path, above: str = "") -> list[Path]:
    """The folders in `results` with the layout of a run's, sorted; `above` is a glob over them."""
    return sorted(results.glob(f"{above}{_GLOB}"))


def run_folders(results: Path) -> list[Path]:
    """The folders of runs in `results` and in `results/tuning` that have a config, sorted."""
    paths = [*find_runs(results), *find_runs(results / "tuning")]
    return sorted(path for path in paths if RunFolder(path).config_file.exists())


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


def has_ended(summary: Mapping[str, Any]) -> bool:
    """Whether a summary has the status of a finished run."""
    return summary.get("status") in ENDS


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
        """Make the folder and the ones above it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"results_dir: cannot make the run's folder {self.path}: {error.strerror}"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out; one that dies gives the lock back. Raises `BusyError`."""
        with disk(self._lock_file):
            file = os.open(self._lock_file, _LOCK | os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise UserError(f"{self._lock_file} is not a file; delete it to run again")
            # A POSIX record lock and not flock: a data worker that outlives its killed parent
            # for some seconds would inherit an flock and keep the resumed run out.
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise self._busy() from error
                if error.errno not in _NO_LOCKS:
                    raise DiskError(self._lock_file, error) from error
                # This file system has no locks: train without.
            yield
        finally:
            os.close(file)

    def is_locked(self) -> bool:
        """True while another process holds the lock, which this call never takes.

        F_GETLK needs no right to write; where its layout is not known (neither Linux nor macOS),
        the lock is taken for an instant, in which a run that starts would find the folder in use.
        Not for the process that holds the lock: closing any handle of a file gives up its POSIX
        locks.
        """
        mode = os.O_RDONLY if sys.platform in _FLOCK else os.O_RDWR
        try:
            file = os.open(self._lock_file, _LOCK | mode)
            try:
                return _is_locked(file)
            finally:
                os.close(file)
        except MISSING:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS or (mode == os.O_RDWR and error.errno == errno.EROFS):
                return False
            raise DiskError(self._lock_file, error) from error

    def refuse_if_locked(self) -> None:
        """Raise BusyError while another process holds the lock."""
        if self.is_locked():
            raise self._busy()

    def _busy(self) -> BusyError:
        return BusyError(f"{self.path} is in use by another process; wait for it or stop it")

    # --------------------------------------------------------------- files that are written once

    def write_config(self, text: str) -> str:
        """Write `config.yaml`, unless it is there; returns a warning if it was broken, else ""."""
        return self._write_once(self.config_file, text, read_yaml)

    def write_env(self, env: Mapping[str, Any]) -> str:
        """Write `env.json`, unless it is there; returns a warning if it was broken, else ""."""
        return self._write_once(self.env_file, json_text(env, indent=2) + "\n", read_json)

    def _write_once(self, path: Path, text: str, read: Callable[..., Any]) -> str:
        warning = ""
        try:
            if read(path, Anything) is not None:
                return ""
        except BrokenFileError as error:
            warning = f"{error}; it is written anew"
        self._write_text(path, text)
        return warning

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`; from then on the run is finished and not failed."""
        self._write_text(self.summary_file, json_text(summary, indent=2) + "\n")
        with suppress(OSError):  # a summary counts, whatever lies beside it
            self.failure_file.unlink(missing_ok=True)

    def write_plan(self, **plan: Any) -> None:
        """Write `plan.json`: the run's length, data and machine."""
        self._write_text(self.plan_file, json_text(plan) + "\n")

    def write_failure(self, failure: Mapping[str, Any]) -> None:
        """Write `failure.json`: the end of the last attempt; a summary removes it."""
        self._write_text(self.failure_file, json_text(failure, indent=2) + "\n")

    def _write_text(self, path: Path, text: str) -> None:
        with atomic_file(path) as file:
            file.write(text.encode())

    def config(self) -> dict[str, Any]:
        """The resolved config as plain dictionaries; empty if none was written."""
        return read_yaml(self.config_file, Anything) or {}

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run, None for any other; it must have a status."""
        summary = self._object(self.summary_file, Summary)
        if summary is not None and not has_ended(summary):
            raise UserError(
                f"{self.summary_file} does not say how the run ended; delete it to run again"
            )
        return summary

    def plan(self) -> dict[str, Any] | None:
        """`total_steps`, `steps_per_epoch`, `data`, `machine`; None before they are known."""
        return self._object(self.plan_file, RunPlan)

    def failure(self) -> dict[str, Any] | None:
        """The failure of the last attempt, None if there is none or a later one finished."""
        return self._object(self.failure_file, Failure)

    def _object(self, path: Path, shape: type[BaseModel]) -> dict[str, Any] | None:
        try:
            return read_json(path, shape)
        except BrokenFileError as error:
            raise UserError(f"{error}; delete it to run again") from error

    # ------------------------------------------------------------------------- metrics.jsonl

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`; a killed process loses at most this line."""
        with disk(self.metrics_file), self._appending() as file:
            file.write(json_text(row).encode() + b"\n")

    def sync_metrics(self) -> int:
        """Bring `metrics.jsonl` to the disk; returns its length in bytes."""
        with disk(self.metrics_file), self._appending() as file:
            os.fsync(file.fileno())
            return file.tell()

    def cut_metrics(self, length: int) -> None:
        """Cut `metrics.jsonl` back to its first `length` bytes; `UserError` if it has fewer."""
        with disk(self.metrics_file):
            # Do not create a missing file only to refuse it for its length.
            have = os.path.getsize(self.metrics_file) if os.path.lexists(self.metrics_file) else 0
            if have < length:
                raise UserError(
                    f"{self.metrics_file} is shorter than when {self.checkpoint_file.name} was "
                    f"written; delete {self.path} to start anew"
                )
            with self._appending() as file:
                file.truncate(length)

    def _appending(self) -> BinaryIO:
        # A FIFO is not waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        return open(self.metrics_file, "ab", opener=lambda path, _: os.open(path, flags, 0o666))

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, but for a last line that was only half written.

        Raises `UserError` if another line is not a row.
        """
        rows, broken = self._rows(Line)
        if broken:
            raise UserError(f"{self.metrics_file}:{broken[0]}: not the JSON object of a row")
        return rows

    def readable_rows(self) -> tuple[list[dict[str, Any]], list[int]]:
        """The rows of steps and evaluations, and the numbers of all other lines."""
        return self._rows(Row)

    def _rows(self, shape: type[BaseModel]) -> tuple[list[dict[str, Any]], list[int]]:
        lines = (read_bytes(self.metrics_file, METRICS_LIMIT) or b"").split(b"\n")[:-1]
        rows = [json_object(line, shape) for line in lines]
        broken = [number for number, row in enumerate(rows, start=1) if row is None]
        return [row for row in rows if row is not None], broken

    def last_step(self) -> dict[str, Any] | None:
        """The last whole row of a training step, None if there is none; reads only the end.

        A row has some 500 bytes, followed by at most one evaluation's.
        """
        try:
            with open_regular(self.metrics_file) as file:
                start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
                file.seek(start)
                lines = file.read().split(b"\n")[:-1]
        except MISSING:
            return None
        except OSError as error:
            raise DiskError(self.metrics_file, error) from error
        for line in reversed(lines if start == 0 else lines[1:]):
            # The run may write while this reads: skip a line that is not whole yet.
            row = json_object(line, Row)
            if row is not None and row["event"] == "step":
                return row
        return None


def _is_locked(file: int) -> bool:
    if sys.platform not in _FLOCK:
        return _is_locked_by_trying(file)
    layout, place = _FLOCK[sys.platform]
    fields = [0] * 5
    fields[place] = fcntl.F_WRLCK
    answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields))
    return bool(struct.unpack(layout, answer)[place] != fcntl.F_UNLCK)


def _is_locked_by_trying(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise
    return False
