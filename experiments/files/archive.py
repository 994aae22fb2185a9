"""All ended runs of a folder of results in one small file, and the way back. No torch.

`runs.tar.xz` has what sweeps and reports read: config, machine, summary, all evaluations and a
tenth of the steps. It is small enough to commit, so that a sweep goes on in another clone.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from experiments.errors import UserError
from experiments.files.atomic import DiskError, atomic_file, disk
from experiments.files.reading import MEGABYTE, json_object
from experiments.files.run_folder import RunFolder, run_folders
from experiments.files.shapes import Row

NAME = "runs.tar.xz"
FIRST_STEPS, EVERY = 20, 10
"""The first steps are kept, and of the others every tenth and the last."""

# A run with a summary has ended, so that it is written last.
_FILES = ("config.yaml", "env.json", "metrics.jsonl", "summary.json")
_DEPTHS = (5, 6)  # of a file of a run, and of one in `tuning`
_LARGEST = 64 * MEGABYTE


def pack(results: Path) -> tuple[Path, int]:
    """Write `runs.tar.xz` into a folder of results; returns its path and the number of runs.

    The same runs give the same bytes. Raises `UserError` if no run has ended.
    """
    runs = map(RunFolder, run_folders(results))
    ended = [run for run in runs if run.summary() is not None]
    if not ended:
        raise UserError(f"{results} (command line): no run in there has ended")
    path = results / NAME
    with (
        atomic_file(path) as file,
        lzma.open(file, "wb", preset=9) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name in _FILES:  # files of one kind side by side are smaller
            for run in ended:
                _add(archive, run.path / name, results)
    return path, len(ended)


def unpack(results: Path) -> int:
    """Write the runs of `runs.tar.xz` into their folders; returns how many were not there.

    A run that has ended here already stays as it is. Raises `UserError` if the archive is broken;
    summaries come last in it, so that no run without its rows looks ended. Raises `BusyError` if
    another process is making one of the runs.
    """
    path = results / NAME
    there: dict[Path, bool] = {}
    new = set()
    for name, data in _members(path):
        target = results / name
        run = RunFolder(target.parent)
        if run.path not in there:
            there[run.path] = run.summary() is not None
        if there[run.path]:
            continue
        run.refuse_if_locked()
        run.create()
        with atomic_file(target) as file:
            file.write(data)
        new.add(run.path)
    return len(new)


def _add(archive: tarfile.TarFile, path: Path, results: Path) -> None:
    """Add a file of a run, if the run has it."""
    with disk(path):
        if not path.exists():
            return
        data = path.read_bytes()
    if path.name == "metrics.jsonl":
        data = b"".join(_thinned(data))
    member = tarfile.TarInfo(path.relative_to(results).as_posix())
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _thinned(metrics: bytes) -> Iterator[bytes]:
    """The lines that are kept; those that cannot be read are not."""
    lines = [line for line in metrics.splitlines(keepends=True) if line.endswith(b"\n")]
    rows = [(line, row) for line in lines if (row := json_object(line, Row)) is not None]
    last = max((row["step"] for _, row in rows if row["event"] == "step"), default=0)
    for line, row in rows:
        step = row["step"]
        kept = step <= FIRST_STEPS or step % EVERY == 0 or step == last
        if row["event"] == "evaluation" or kept:
            yield line


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in the archive, of which only files of runs are allowed."""
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                if not _is_of_a_run(member):
                    raise UserError(f"{path}: {member.name!r} in it is no file of a run")
                file = archive.extractfile(member)
                yield member.name, b"" if file is None else file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise UserError(f"{path} is broken ({error}); take it from git again") from error
    except OSError as error:
        raise DiskError(path, error) from error


def _is_of_a_run(member: tarfile.TarInfo) -> bool:
    place = PurePosixPath(member.name)
    in_a_run = len(place.parts) in _DEPTHS and place.name in _FILES and ".." not in place.parts
    in_tuning = (place.parts[0] == "tuning") == (len(place.parts) == max(_DEPTHS))
    return (
        member.isreg()
        and member.size <= _LARGEST
        and not place.is_absolute()
        and in_a_run
        and in_tuning
    )
