"""A sweep goes on where a disk takes nothing, and says what it could not do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.files.atomic import DiskError
from experiments.files.plan_file import SweepPlan, write_plan
from experiments.files.run_folder import RunFolder
from experiments.sweep.conduct import conduct
from experiments.sweep.launchers.local import LocalLauncher
from experiments.sweep.launchers.process import Job, Outcome, run_job
from experiments.sweep.run_state import RunState, failure_of, state_of
from tests.experiments.sweep.conductor import FixedSweep
from tests.experiments.sweep.processes import Record, job


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_job_whose_log_has_no_place_is_refused_and_the_next_one_runs(
    tmp_path: Path, make: Callable[[str], None]
) -> None:
    jobs = [job(tmp_path / name, "print(1)") for name in ("bad", "good")]
    make(jobs[0].log_file)
    record = Record()
    LocalLauncher(1).launch(jobs, ended=record.ended, tick=record.tick)
    assert {name: outcome.exit_code for name, outcome in record.outcomes.items()} == {
        "bad": 2,
        "good": 0,
    }
    assert record.outcomes["bad"].reason.startswith(f"{jobs[0].log_file}: ")


def test_a_worker_tells_of_a_process_that_cannot_be(tmp_path: Path) -> None:
    made: Job = replace(job(tmp_path / "run", ""), command=("/nowhere/python",))
    outcome = run_job(made)
    assert outcome.exit_code == 2
    assert outcome.reason == "/nowhere/python: No such file or directory"


def test_a_failure_that_cannot_be_written_is_told_with_its_reason(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.failure_file.mkdir()
    failure = failure_of(folder, Outcome(2, "output.log: No space left on device"))
    assert failure is not None
    assert failure.reason == "output.log: No space left on device"


def test_failures_are_listed_before_a_report_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_results: Path) -> Path:
        raise UserError("the report cannot be written")

    def failing(*_arguments: object, **_keywords: object) -> dict[Path, RunState]:
        return {tmp_path / "run": RunState("failed", reason="no space")}

    monkeypatch.setattr("experiments.sweep.conduct.run_all", failing)
    with pytest.raises(UserError, match="the report cannot be written"):
        conduct(FixedSweep(tmp_path, [], workers=1), retry_failed=False, write_report=full)
    assert f"failed: {tmp_path}/run: no space" in capsys.readouterr().out


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """The disk takes so many plans and no other."""
    written: list[SweepPlan] = []

    def write(plan: SweepPlan, results_dir: Path) -> Path:
        written.append(plan)
        if len(written) > after:
            raise UserError("results_dir: cannot write the plan: No space left on device")
        return write_plan(plan, results_dir)

    monkeypatch.setattr("experiments.sweep.conduct.write_plan", write)


def test_a_plan_that_cannot_be_written_again_ends_no_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_disk(monkeypatch, after=1)
    sweep = FixedSweep(tmp_path, [], workers=1)
    assert conduct(sweep, retry_failed=False, write_report=lambda path: path) == 0
    assert "warning: results_dir: cannot write the plan" in capsys.readouterr().out


def test_a_plan_that_cannot_be_written_at_all_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_disk(monkeypatch, after=0)
    sweep = FixedSweep(tmp_path, [], workers=1)
    with pytest.raises(UserError, match="cannot write the plan"):
        conduct(sweep, retry_failed=False, write_report=lambda path: path)


# ------------------------------------------------------------------------- broken files of a run


def test_a_broken_plan_or_failure_of_a_run_is_its_reason_and_no_more(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.plan_file.write_text('{"total_steps": "many"}')
    folder.append_row({"event": "step", "step": 3, "loss": 0.5, "seconds": None})
    state = state_of(folder)
    assert (state.kind, state.step, state.total_steps) == ("waiting", 3, None)
    assert "plan.json has a wrong value, total_steps" in state.reason
    folder.failure_file.write_text("[]")
    state = state_of(folder)
    assert state.kind == "failed"
    assert "failure.json is not a JSON object" in state.reason


def test_a_folder_that_may_not_be_read_is_a_failure_with_the_systems_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("experiments.files.reading.os.open", refuse)
    state = state_of(RunFolder(tmp_path / "run"))
    monkeypatch.undo()
    assert (state.kind, state.reason) == (
        "failed",
        str(DiskError(tmp_path / "run" / "summary.json", PermissionError(13, "Permission denied"))),
    )
