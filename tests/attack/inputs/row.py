"""A row of the table of bad inputs, and what becomes of it.

A new row is one line in the table of its subject: what is typed, what the answer must name, and
where needed the name of a set-up.
"""

from __future__ import annotations

import io
import os
import shlex
import stat
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments.cli.commands import command
from experiments.cli.main import main
from experiments.cli.parser import guarded
from experiments.cli.sweep import sweep_images, sweep_text
from tests.attack.inputs.workshop import SETUPS, Workshop

REFUSED = 2
DONE = 0
# What Python leaves unsaid outside of tests.
_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def _config(words: list[str]) -> int:
    """`main.py --print-config` on the config of the working directory."""
    from experiments.config.compose import load, to_yaml

    sys.stdout.write(to_yaml(load(words, Path("config"))))
    return DONE


def _sweep_file(words: list[str]) -> int:
    """`run_multiple.py --sweep mine --dry-run` on the config of the working directory."""
    from experiments.sweep.dry_run import listing
    from experiments.sweep.plan import load_sweep

    sys.stdout.write(listing(load_sweep("mine", "text", words, Path("config")), retry_failed=False))
    return DONE


class _Stream(io.TextIOWrapper):
    """A standard stream that stays open: the loggers of libraries keep the first they see."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", errors="surrogateescape")

    def taken(self) -> str:
        """What was written since the last time."""
        self.flush()
        text = self._bytes.getvalue().decode("utf-8", "surrogateescape")
        self.seek(0)
        self.truncate()
        return text


_OUT, _ERR = _Stream(), _Stream()

DOORS: dict[str, Callable[[list[str]], int]] = {
    "main.py": main,
    "run_multiple.py": sweep_text,
    "run_multiple_img.py": sweep_images,
    "experiments": command,
    "config": lambda words: guarded(_config, words),
    "sweep": lambda words: guarded(_sweep_file, words),
}


@dataclass(frozen=True)
class Row:
    """One bad input.

    Attributes:
        door: the command that is given the words.
        words: what is typed after it.
        named: texts that the answer must contain; case counts.
        setup: the set-up of the working directory, or none.
        code: 2, one line on stderr and nothing left; or 0, told anywhere, without a traceback.
        shared: how many of the words are typed in all rows of a list.
    """

    door: str
    words: tuple[str, ...]
    named: tuple[str, ...]
    setup: str
    code: int
    shared: int = 0

    def __str__(self) -> str:
        """What pytest calls it."""
        own = self.words[self.shared :]
        typed = " ".join(word if len(word) < 60 else word[:57] + "..." for word in own)
        text = f"{self.door} {typed}" + (f" [{self.setup}]" if self.setup else "")
        return text.encode("ascii", "backslashreplace").decode()


Line = tuple[str | Sequence[str], str] | tuple[str | Sequence[str], str, str]


def refused(door: str, *lines: Line, before: str = "") -> list[Row]:
    """Rows that end with exit code 2; `before` is typed before each. Texts are split at " | "."""
    return [_row(door, line, before, REFUSED) for line in lines]


def told(door: str, *lines: Line, before: str = "") -> list[Row]:
    """Rows that end with exit code 0: what is named stands in the output or in the report."""
    return [_row(door, line, before, DONE) for line in lines]


def _row(door: str, line: Line, before: str, code: int) -> Row:
    typed, named, *setup = line
    words = shlex.split(typed) if isinstance(typed, str) else list(typed)
    texts = tuple(named.split(" | ")) if named else ()
    shared = shlex.split(before)
    setup_name = setup[0] if setup else ""
    return Row(door, (*shared, *words), texts, setup_name, code, len(shared))


def complaint(row: Row, place: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What is wrong with the answer to a row; empty if nothing is."""
    with ExitStack() as undo:
        workshop = Workshop(place, undo)
        if row.setup:
            SETUPS[row.setup](workshop)
        before = _listing(place)
        capfd.readouterr()
        with _outside_of_tests() as warned:
            try:
                code = DOORS[row.door](list(row.words))
            except (Exception, SystemExit) as error:
                return f"traceback: {_last_line(error)}"
        after = _listing(place)
    if workshop.waits:
        return f"waits for a pipe: {workshop.waits[0]}"
    spilt = capfd.readouterr()
    output, errors = _OUT.taken() + spilt.out, _ERR.taken() + spilt.err
    errors += "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in warned)
    if code != row.code:
        return f"exit code {code}, not {row.code}: {errors or output[-300:]!r}"
    if row.code == DONE:
        return _not_told(row, output + errors + _report(place))
    return _not_refused(row, errors, sorted(after ^ before))


def _not_told(row: Row, text: str) -> str:
    missing = [name for name in row.named if name not in text]
    return f"does not say {missing}: {text[-300:]!r}" if missing else ""


def _not_refused(row: Row, errors: str, changed: list[Any]) -> str:
    missing = [name for name in row.named if name not in errors]
    if errors.count("\n") != 1 or not errors.endswith("\n"):
        return f"{errors.count(chr(10))} lines: {errors!r}"
    if missing:
        return f"does not name {missing}: {errors!r}"
    return f"left behind: {changed}" if changed else ""


@contextmanager
def _outside_of_tests() -> Iterator[list[warnings.WarningMessage]]:
    """Warnings are no errors; those that a user would see on stderr are collected."""
    _OUT.taken(), _ERR.taken()
    streams = redirect_stdout(_OUT), redirect_stderr(_ERR)
    with warnings.catch_warnings(record=True) as warned, streams[0], streams[1]:
        warnings.resetwarnings()
        for category in _QUIET:
            warnings.simplefilter("ignore", category)
        yield warned


def _listing(place: Path) -> set[tuple[str, int, int]]:
    """All names below `place` with their kinds and sizes, but for what is computed once."""
    found = set()
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if name != ".sls_cache"]
        for name in (*folders, *files):
            state = os.lstat(os.path.join(folder, name))
            size = 0 if name in folders else state.st_size
            found.add(
                (
                    os.path.relpath(os.path.join(folder, name), place),
                    stat.S_IFMT(state.st_mode),
                    size,
                )
            )
    return found


def _report(place: Path) -> str:
    return "".join(file.read_text() for file in place.glob("*/report/report.md"))


def _last_line(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})"
