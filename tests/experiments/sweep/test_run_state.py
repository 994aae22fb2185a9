"""The state of a run, read from its folder."""

from __future__ import annotations

import math

import pytest

from experiments.files.run_folder import RunFolder
from experiments.sweep.launchers.process import Outcome
from experiments.sweep.run_state import (
    RunState,
    ended_from_outside,
    failure_of,
    state_of,
)
from tests.experiments.sweep.runs import held


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


def write_steps(folder, last, loss=0.5):
    for step in range(1, last + 1):
        folder.append_row({"event": "step", "step": step, "seconds": 2.0 * step, "loss": loss})


def failure(exit_code, attempts=1):
    return {"exit_code": exit_code, "attempts": attempts, "reason": "no such data", "output": []}


def test_a_run_that_was_never_started_waits(tmp_path):
    assert state_of(RunFolder(tmp_path / "nothing")) == RunState("waiting")
    assert list(tmp_path.iterdir()) == [], "looking must leave nothing"


def test_a_summary_is_finished_and_tells_its_time(folder):
    final = {"train_loss": 0.25}
    folder.write_summary({"status": "finished", "steps": 30, "seconds_total": 12.5, "final": final})
    assert state_of(folder) == RunState(
        "finished", step=30, total_steps=30, loss=0.25, seconds=12.5
    )


def test_a_summary_of_an_earlier_version_has_the_time_of_training(folder):
    folder.write_summary({"status": "finished", "steps": 30, "seconds_training": 7.0})
    assert state_of(folder).seconds == 7.0


@pytest.mark.parametrize(
    ("text", "reason"), [('{"status": "fin', "not valid JSON"), ("{}", "does not say how")]
)
def test_a_run_with_a_broken_summary_has_failed_and_says_what_to_do(folder, text, reason):
    folder.summary_file.write_text(text)
    state = state_of(folder)
    assert state.kind == "failed"
    assert str(folder.summary_file) in state.reason
    assert reason in state.reason
    assert state.reason.endswith("delete it to run again")


@pytest.mark.parametrize("end", ["diverged", "stuck"])
def test_a_run_without_a_result_is_no_failure(folder, end):
    folder.write_summary({"status": end, "steps": 21, "final": {"train_loss": None}})
    state = state_of(folder)
    assert state.kind == end
    assert state.loss is not None
    assert math.isnan(state.loss)


def test_a_locked_folder_is_running_with_step_and_time_left(folder):
    folder.write_plan(total_steps=50, steps_per_epoch=23)
    folder.write_failure(failure(1))
    write_steps(folder, 20)
    with held(folder):
        state = state_of(folder)
    # 50 steps at the 2 s that each of the first 20 took; 30 are left.
    assert (state.kind, state.step, state.total_steps) == ("running", 20, 50)
    assert (state.loss, state.seconds, state.share_left) == (0.5, 100.0, 0.6)


def test_a_checkpoint_without_lock_and_summary_is_stopped(folder):
    folder.write_plan(total_steps=50, steps_per_epoch=23)
    write_steps(folder, 20, loss=None)
    folder.checkpoint_file.write_bytes(b"")
    state = state_of(folder)
    assert (state.kind, state.step, state.seconds) == ("stopped", 20, None)
    assert state.loss is not None
    assert math.isnan(state.loss)


def test_a_failure_is_failed_with_its_reason_even_beside_a_checkpoint(folder):
    folder.checkpoint_file.write_bytes(b"")
    folder.write_failure(failure(2, attempts=3))
    state = state_of(folder)
    assert (state.kind, state.reason, state.attempts) == ("failed", "no such data", 3)


@pytest.mark.parametrize("exit_code", [-9, 137, 130])
def test_what_was_ended_from_outside_can_go_on(folder, exit_code):
    folder.write_failure(failure(exit_code))
    assert state_of(folder).kind == "waiting"
    folder.checkpoint_file.write_bytes(b"")
    assert state_of(folder).kind == "stopped"


def test_only_signals_are_from_outside():
    assert [code for code in (-9, -2, 0, 1, 2, 3, 128, 130, 137) if ended_from_outside(code)] == [
        -9,
        -2,
        130,
        137,
    ]


# ---------------------------------------------------------------------------------- failures


def test_a_broken_summary_is_reported_and_deleting_it_is_enough_to_run_again(folder):
    folder.summary_file.write_text('{"status": "fin')
    failure = failure_of(folder, Outcome(2))
    assert failure is not None
    assert str(folder.summary_file) in failure.reason
    assert failure.reason.endswith("delete it to run again")
    folder.summary_file.unlink()
    assert state_of(folder).kind == "waiting"


def test_an_error_is_written_down_with_the_last_line_as_its_reason(folder):
    folder.output_file.write_text("--- started now: main.py\nloading\nerror: no data\n")
    failure = failure_of(folder, Outcome(2))
    assert failure is not None
    assert (failure.reason, failure.output) == ("no data", ("loading", "error: no data"))
    assert (state_of(folder).kind, state_of(folder).reason) == ("failed", "no data")
