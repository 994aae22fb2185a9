"""The files of a run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.errors import BusyError, UserError
from experiments.files.run_folder import RunFolder, atomic_file

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "a" / "run")
    folder.create()
    return folder


def test_rows_come_back_as_written(folder):
    rows = [{"event": "step", "step": 1, "loss": 0.1}, {"event": "step", "step": 2, "loss": 1e-30}]
    for row in rows:
        folder.append_row(row)
    assert folder.rows() == rows


def test_a_half_written_last_line_is_dropped(folder):
    folder.append_row({"step": 1})
    with folder.metrics_file.open("ab") as file:
        file.write(b'{"step": 2, "lo')
    assert folder.rows() == [{"step": 1}]


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(folder):
    folder.append_row({"step": 1})
    with folder.metrics_file.open("ab") as file:
        file.write(b'{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2"):
        folder.rows()


def test_numbers_that_are_not_finite_become_null(folder):
    folder.append_row({"loss": float("nan"), "slope": float("-inf"), "inner": [float("inf"), 1.5]})
    assert folder.rows() == [{"loss": None, "slope": None, "inner": [None, 1.5]}]
    assert b"NaN" not in folder.metrics_file.read_bytes()


def test_metrics_are_cut_back_to_a_length(folder):
    folder.append_row({"step": 1})
    length = folder.sync_metrics()
    folder.append_row({"step": 2})
    folder.cut_metrics(length)
    folder.append_row({"step": 3})
    assert folder.rows() == [{"step": 1}, {"step": 3}]


def test_metrics_shorter_than_their_checkpoint_are_an_error(folder):
    folder.append_row({"step": 1})
    with pytest.raises(UserError, match="shorter"):
        folder.cut_metrics(10_000)


def test_a_write_that_fails_half_way_leaves_the_old_file(folder):
    path = folder.path / "file"
    path.write_bytes(b"old")
    with contextlib.suppress(RuntimeError), atomic_file(path) as file:
        file.write(b"new, but")
        raise RuntimeError("the power is gone")
    assert path.read_bytes() == b"old"


def test_a_folder_without_summary_is_not_done(folder):
    assert folder.summary() is None


def test_the_summary_comes_back(folder):
    folder.write_summary({"status": "finished", "final": {"val_loss": float("nan")}})
    assert folder.summary() == {"status": "finished", "final": {"val_loss": None}}
    json.loads(folder.summary_file.read_text())


def test_config_and_env_are_not_overwritten(folder):
    folder.write_config("seed: 1\n")
    folder.write_config("seed: 2\n")
    folder.write_env({"torch": "first"})
    folder.write_env({"torch": "second"})
    assert folder.config() == {"seed": 1}
    assert json.loads(folder.env_file.read_text()) == {"torch": "first"}


@pytest.mark.parametrize("text", ["", "a: [", "[]", "null"])
def test_a_broken_config_or_env_of_a_resumed_run_is_written_anew_and_told(folder, text):
    folder.config_file.write_text(text)
    folder.env_file.write_text(text)
    warnings = [folder.write_config("seed: 1\n"), folder.write_env({"torch": "now"})]
    for warning, file in zip(warnings, (folder.config_file, folder.env_file), strict=True):
        assert str(file) in warning
        assert "written anew" in warning
    assert folder.config() == {"seed": 1}
    assert json.loads(folder.env_file.read_text()) == {"torch": "now"}


def test_yaml_that_makes_objects_is_refused(folder):
    folder.config_file.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        folder.config()


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="results_dir"):
        RunFolder(tmp_path / "file" / "run").create()


HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from experiments.files.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_kept_out_until_the_first_is_killed(folder):
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(BusyError, match="in use by another process"), folder.lock():
            pass
        first.kill()
        first.wait()
    with folder.lock():
        pass


@pytest.mark.parametrize("platform", [sys.platform, "a platform without a known F_GETLK"])
def test_whether_it_is_locked_is_told_without_taking_the_lock(folder, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert not folder.is_locked(), "a folder that was never locked"
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert folder.is_locked()
        with pytest.raises(BusyError, match="in use"):
            folder.refuse_if_locked()
        holder.kill()
        holder.wait()
    assert not folder.is_locked(), "its holder is dead"
    folder.refuse_if_locked()


def test_a_summary_removes_the_failure_before_it(folder):
    failure = {"exit_code": 1, "attempts": 2}
    folder.write_failure(failure)
    assert folder.failure() == failure
    folder.write_summary({"status": "finished"})
    assert folder.failure() is None


def test_the_plan_comes_back(folder):
    assert folder.plan() is None
    folder.write_plan(total_steps=30, steps_per_epoch=7)
    assert folder.plan() == {"total_steps": 30, "steps_per_epoch": 7}


def test_the_last_step_is_found_before_an_evaluation_and_a_half_written_line(folder):
    assert folder.last_step() is None
    for step in range(1, 301):  # more than the end that is read
        folder.append_row({"event": "step", "step": step, "padding": "x" * 100})
    folder.append_row({"event": "evaluation", "step": 300})
    with folder.metrics_file.open("ab") as file:
        file.write(b'{"event": "step", "step": 301')
    row = folder.last_step()
    assert row is not None
    assert row["step"] == 300


# ------------------------------------------------------------------------ what is in a file's place


def test_a_fifo_in_place_of_any_file_is_told_and_not_waited_for(folder):
    calls = [
        (folder.config_file, folder.config),
        (folder.summary_file, folder.summary),
        (folder.plan_file, folder.plan),
        (folder.failure_file, folder.failure),
        (folder.metrics_file, folder.rows),
        (folder.metrics_file, folder.last_step),
        (folder.metrics_file, folder.sync_metrics),
        (folder.metrics_file, lambda: folder.append_row({})),
    ]
    for file, call in calls:
        if not file.exists():
            os.mkfifo(file)
        with pytest.raises(UserError, match=file.name):
            call()


def test_a_lock_is_no_link_to_somebody_elses_file(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("of somebody")
    (folder.path / ".lock").symlink_to(victim)
    with pytest.raises(UserError, match=r"\.lock: "), folder.lock():
        pass
    assert victim.read_text() == "of somebody"


def test_looking_at_a_lock_needs_no_right_to_write(folder, monkeypatch):
    (folder.path / ".lock").touch()
    opened = os.open

    def read_only(path, flags, *rest):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    assert not folder.is_locked()
    monkeypatch.setattr(sys, "platform", "a platform without a known F_GETLK")
    assert not folder.is_locked(), "where it cannot be told"


def test_a_full_disk_is_told_with_the_file(folder, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    for call in (lambda: folder.append_row({"step": 1}), folder.sync_metrics):
        with pytest.raises(UserError, match=r"metrics\.jsonl: No space left on device"):
            call()
    with pytest.raises(UserError, match=r"plan\.json: No space left on device"):
        folder.write_plan(total_steps=1, steps_per_epoch=1)


def test_a_failure_that_cannot_be_removed_does_not_undo_a_summary(folder):
    folder.failure_file.mkdir()
    folder.write_summary({"status": "finished"})
    assert folder.summary() == {"status": "finished"}


def test_rows_of_a_damaged_file_are_those_that_can_be_read(folder):
    folder.append_row({"event": "step", "step": 1, "loss": 0.5})
    with folder.metrics_file.open("ab") as file:
        file.write(bytes(60) + b'\n{"event": "step", "step": "two"}\n{"event": "pause"}\n')
    folder.append_row({"event": "evaluation", "step": 1})
    rows, broken = folder.readable_rows()
    assert [row["event"] for row in rows] == ["step", "evaluation"]
    assert broken == [2, 3, 4]
