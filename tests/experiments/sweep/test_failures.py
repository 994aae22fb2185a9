"""What is said of a process that ended badly, by the files of its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.files.run_folder import RunFolder
from experiments.sweep.failures import failure_of
from experiments.sweep.launchers.job import Outcome
from experiments.sweep.run_state import state_of


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


def test_a_broken_summary_is_told_and_deleting_it_is_enough_to_run_again(
    folder: RunFolder,
) -> None:
    folder.summary_file.write_text('{"status": "fin')
    failure = failure_of(folder, Outcome(2, 1.0))
    assert failure is not None
    assert str(folder.summary_file) in failure.reason
    assert failure.reason.endswith("delete it to run again")
    folder.summary_file.unlink()
    assert state_of(folder).kind == "waiting"


def test_an_error_is_written_down_with_the_last_line_as_its_reason(folder: RunFolder) -> None:
    folder.output_file.write_text("--- started now: main.py\nloading\nerror: no data\n")
    failure = failure_of(folder, Outcome(2, 1.0))
    assert failure is not None
    assert (failure.reason, failure.output) == ("no data", ("loading", "error: no data"))
    assert (state_of(folder).kind, state_of(folder).reason) == ("failed", "no data")
