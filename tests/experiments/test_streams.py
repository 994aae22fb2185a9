"""Streams that cannot encode, have no reader or are closed stop no program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from experiments.cli.parser import guarded
from experiments.errors import OK
from experiments.streams import forgiving_streams

REPOSITORY = Path(__file__).resolve().parents[2]


def shown(monkeypatch: pytest.MonkeyPatch, output: TextIO | None, *texts: str) -> str:
    """Print to a standard output; returns what standard error got."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    with forgiving_streams():
        for text in texts:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
    assert sys.stdout is output
    return errors.getvalue()


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "digits · vit", b"digits \\xb7 vit\n"),
        ("latin-1", "· “π”", b"\xb7 \\u201c\\u03c0\\u201d\n"),
        ("utf-8", "half \ud800", b"half \\ud800\n"),
    ],
)
def test_characters_without_a_code_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, expected: bytes
) -> None:
    raw = io.BytesIO()
    assert shown(monkeypatch, io.TextIOWrapper(raw, encoding), text) == ""
    assert raw.getvalue() == expected


def test_a_reader_that_has_gone_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        assert shown(monkeypatch, output, "one", "two", "three") == (
            "warning: standard output cannot be written (Broken pipe); the rest is not shown\n"
        )


def test_a_full_disk_behind_standard_output_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as output:
        errors = shown(monkeypatch, output, "one", "two")
    assert errors.count("\n") == 1
    assert "No space left on device" in errors


def test_standard_output_that_is_closed_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    output.close()
    assert "closed file" in shown(monkeypatch, output, "one", "two")


def test_without_standard_output_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, None, "one") == ""


def test_standard_error_that_is_closed_hides_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    def interrupted(_arguments: list[str]) -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted, []) == 130
    assert guarded(lambda _: OK, []) == OK


def test_errors_of_the_disk_are_one_line_and_other_errors_of_the_system_bugs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def reads(_arguments: list[str]) -> int:
        return len((tmp_path / "nothing").read_bytes())

    def connects(_arguments: list[str]) -> int:
        raise ConnectionResetError("a bug")

    assert guarded(reads, []) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/nothing: No such file or directory\n"
    with pytest.raises(ConnectionResetError):
        guarded(connects, [])


def test_the_process_ends_well_when_its_reader_goes_at_once() -> None:
    command = [sys.executable, "main.py", "--help"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors.count("\n")) == (0, 1), errors
    assert errors.startswith("warning: standard output cannot be written")
