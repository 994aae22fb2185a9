"""Sweeps of real processes: failing, killed, interrupted, and two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.config.compose import load
from experiments.errors import UserError
from experiments.run import run as run_here
from experiments.sweep.conduct import conduct, run_all
from experiments.sweep.launchers.process import Outcome
from experiments.sweep.run_state import state_of
from tests.experiments.sweep.conductor import FixedSweep, write_report
from tests.experiments.sweep.runs import (
    REPOSITORY,
    endless,
    held,
    make_run,
    numbers_of,
    output_of,
    wait_for_step,
    wait_until_free,
)

# Evaluations of one example at a time, slow enough to be killed in.
SLOW = ["trainer.epochs=3", "trainer.max_steps=60", "trainer.eval_every_steps=10"]
SLOW += ["trainer.eval_batch_size=1", "optimizer=alsals"]
BROKEN = ["task=image_folder", "data_root=/nowhere", "trainer.max_steps=1"]


def start_conductor(results, *runs, workers=1, retry="skip"):
    module = [sys.executable, "-m", "tests.experiments.sweep.conductor"]
    words = [str(results), str(workers), retry, json.dumps(runs)]
    return subprocess.Popen(
        [*module, *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(conductor):
    output, _ = conductor.communicate(timeout=280)
    return conductor.returncode, output


def process_of(results: Path) -> int:
    """The process whose command line is of a run below `results`, and is not the conductor's."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"results_dir={results}".encode() in words:
            return int(folder.name)
    raise AssertionError("there is no such process")


# --------------------------------------------------------------------------------- one that fails


@pytest.fixture(scope="module")
def with_a_failure(tmp_path_factory):
    """A sweep of a bad run and a good one after it, and what it said."""
    results = tmp_path_factory.mktemp("results")
    runs = [BROKEN, ["seed=1"]]
    code, output = end_of(start_conductor(results, *runs))
    return SimpleNamespace(
        results=results, code=code, output=output, runs=[make_run(results, *run) for run in runs]
    )


def test_a_failing_run_stops_no_other(with_a_failure):
    kinds = [state_of(run.folder).kind for run in with_a_failure.runs]
    assert kinds == ["failed", "finished"], with_a_failure.output
    assert with_a_failure.code == 1


def test_the_failure_is_written_down_with_its_reason(with_a_failure):
    failure = with_a_failure.runs[0].folder.failure()
    assert (failure["exit_code"], failure["attempts"]) == (2, 1)
    assert "/nowhere" in failure["reason"]
    assert not failure["reason"].startswith("error:")
    assert failure["output"] == [f"error: {failure['reason']}"]


def test_the_end_lists_the_failure_and_names_the_report(with_a_failure):
    lines = with_a_failure.output.splitlines()
    reason = with_a_failure.runs[0].folder.failure()["reason"]
    folder = with_a_failure.runs[0].folder.path
    at = lines.index(f"failed: {folder}: {reason}")
    # Its only line of output is the reason, which is not said twice.
    assert lines[at + 1].startswith("1 run failed; with --retry-failed, ")
    assert lines[-1] == f"report: {with_a_failure.results / 'report.md'}"


class NothingToDo:
    """A launcher for runs that must not be started."""

    def launch(self, jobs, *, ended, tick):
        raise AssertionError(f"started {[job.log_file for job in jobs]}")


def test_finished_and_failed_runs_are_not_started_again(with_a_failure):
    failures = run_all(with_a_failure.runs, NothingToDo(), retry_failed=False)
    assert list(failures) == [with_a_failure.runs[0].folder.path]


class Scripted:
    """A launcher whose jobs end as a test says, without processes."""

    def __init__(self, end):
        self.end = end
        self.started = []

    def launch(self, jobs, *, ended, tick):
        for job in jobs:
            self.started.append(job)
            ended(job, Outcome(self.end()))


def test_only_the_failed_run_is_tried_again_once(tmp_path):
    good, bad = (make_run(tmp_path, f"seed={seed}") for seed in (0, 1))
    for run in (good, bad):
        run.folder.create()
    good.folder.write_summary({"status": "finished"})
    bad.folder.write_failure({"exit_code": 1, "attempts": 1, "reason": "before", "output": []})
    launcher = Scripted(lambda: 1)
    failures = run_all([good, bad], launcher, retry_failed=True)
    assert [job.log_file for job in launcher.started] == [str(bad.folder.output_file)]
    assert len(failures) == 1
    assert bad.folder.failure()["attempts"] == 2


def test_a_busy_run_is_no_failure_and_is_looked_at_again(tmp_path):
    run = make_run(tmp_path)

    def end():
        if len(launcher.started) < 2:
            return 3
        run.folder.write_summary({"status": "finished"})
        return 0

    launcher = Scripted(end)
    assert run_all([run], launcher, retry_failed=False) == {}
    assert len(launcher.started) == 2
    assert run.folder.failure() is None


@pytest.mark.parametrize("status", ["diverged", "stuck"])
def test_a_run_without_a_result_has_ended_although_its_process_says_1(tmp_path, status):
    run = make_run(tmp_path)

    def end():
        run.folder.write_summary({"status": status})
        return 1

    assert run_all([run], Scripted(end), retry_failed=False) == {}


def test_a_folder_that_cannot_be_made_is_a_failure_of_that_run_alone(tmp_path):
    (tmp_path / "file").write_text("")
    bad, good = make_run(tmp_path / "file"), make_run(tmp_path)

    def end():
        good.folder.write_summary({"status": "finished"})
        return 0

    failures = run_all([bad, good], Scripted(end), retry_failed=False)
    assert list(failures) == [bad.folder.path]
    assert "results_dir" in failures[bad.folder.path].reason


def test_an_untuned_cell_is_told_with_its_reason_and_by_the_exit_code(tmp_path, capsys):
    sweep = FixedSweep(tmp_path, [], workers=1)
    sweep.cells = [("a_row", "adam", "all its runs diverged")]
    assert conduct(sweep, retry_failed=False, write_report=write_report) == 1
    assert "not compared: a_row adam: all its runs diverged" in capsys.readouterr().out


def test_a_launcher_that_does_not_work_here_is_told_before_anything_runs(tmp_path, monkeypatch):
    def refuse(_settings, _scratch):
        raise UserError("no GPU")

    monkeypatch.setattr("experiments.sweep.conduct.launcher_of", refuse)
    run = make_run(tmp_path)
    with pytest.raises(UserError, match="no GPU"):
        conduct(FixedSweep(tmp_path, [run], 1), retry_failed=False, write_report=write_report)
    assert not run.folder.path.exists()


# ------------------------------------------------------------------------------ killed, interrupted


# Five processes one after the other, most of whose time is the import of torch.
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killed_runs_and_conductors_end_like_ones_that_were_not(tmp_path):
    config = load(make_run(tmp_path / "whole", *SLOW).arguments, environ={})
    assert run_here(config)
    whole = make_run(tmp_path / "whole", *SLOW).folder
    broken = make_run(tmp_path / "broken", *SLOW).folder

    conductor = start_conductor(tmp_path / "broken", SLOW)
    wait_for_step(broken, 9)
    os.kill(process_of(tmp_path / "broken"), signal.SIGKILL)
    code, output = end_of(conductor)
    assert (code, state_of(broken).kind) == (1, "stopped"), output
    assert "SIGKILL" in state_of(broken).reason

    conductor = start_conductor(tmp_path / "broken", SLOW)
    wait_for_step(broken, 20)
    conductor.kill()
    end_of(conductor)
    wait_until_free(broken)
    assert state_of(broken).kind == "stopped", "an orphan went on to the end"

    code, output = end_of(start_conductor(tmp_path / "broken", SLOW))
    assert (code, state_of(broken).kind) == (0, "finished"), output
    assert numbers_of(broken) == numbers_of(whole)
    assert broken.failure() is None


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        # Nearly the same again, and the import of torch takes seconds.
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_sweep_leaves_a_checkpoint_and_no_report(tmp_path, number):
    runs = [["trainer.epochs=100000", "trainer.max_steps=1000000", f"seed={s}"] for s in (0, 1)]
    first, second = (endless(tmp_path, f"seed={seed}").folder for seed in (0, 1))
    conductor = start_conductor(tmp_path, *runs)
    wait_for_step(first, 1)
    conductor.send_signal(number)
    code, output = end_of(conductor)
    assert code == 128 + number, output
    assert "the same command resumes" in output
    assert (state_of(first).kind, state_of(second).kind) == ("stopped", "waiting")
    assert first.failure() is None
    assert first.last_step()["step"] == state_of(first).step
    assert not (tmp_path / "report.md").exists()


# At least four processes, most of whose time is the import of torch.
@pytest.mark.slow
def test_two_conductors_on_one_folder_run_every_run_once(tmp_path):
    arguments = [["seed=0"], ["seed=1"]]
    folders = [make_run(tmp_path, *words).folder for words in arguments]
    conductors = [start_conductor(tmp_path, *arguments) for _ in range(2)]
    ends = [end_of(conductor) for conductor in conductors]
    assert [code for code, _ in ends] == [0, 0], ends
    for folder in folders:
        steps = [row["step"] for row in folder.rows() if row["event"] == "step"]
        assert steps == list(range(1, 31)), output_of(folder)
        assert folder.failure() is None
        # Printed by a process that trained, and not by one that found the run done.
        assert output_of(folder).count("curves: ") == 1


def test_a_run_that_somebody_else_holds_is_waited_for_and_taken_over(tmp_path):
    run = make_run(tmp_path, "seed=3")
    run.folder.create()
    ticks = []

    def end():
        run.folder.write_summary({"status": "finished"})
        return 0

    def tick():
        ticks.append(time.monotonic())
        if len(ticks) == 2:
            other.kill()
            other.wait()

    launcher = Scripted(end)
    with held(run.folder) as other:
        failures = run_all([run], launcher, retry_failed=False, tick=tick, pause=0.05)
    assert failures == {}
    assert len(launcher.started) == 1
    assert len(ticks) == 2, "started while it was held"
