"""One run in two real processes, started by torchrun: numbers, files, messages, ends."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from experiments.config.compose import load, run_path
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.run import build_task_of, run
from experiments.training.batches import evaluation_batches
from experiments.training.evaluation import evaluate
from tests.experiments import several

CPU = torch.device("cpu")

pytestmark = pytest.mark.timeout(3 * several.LIMIT)
# Compared with a run of one process, step by step: no BatchNorm, no dropout, and no decision that
# hangs on the last bits, as how fast PeakSLS rises where the loss hardly falls.
COMPARED = ["adam", "alsals", "momo_adam"]
FILES = {"best.pt", "checkpoint.pt", "config.yaml", "env.json", "metrics.jsonl", "plan.json"}


def folder_of(case: str, where: Path) -> RunFolder:
    return RunFolder(run_path(several.config_of(case, where)))


def without_seconds(folder: RunFolder) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in folder.rows()]


def steps_of(folder: RunFolder) -> list[dict]:
    return [row for row in folder.rows() if row["event"] == "step"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """The folder of the runs of all cases, each by two processes."""
    where = tmp_path_factory.mktemp("shared")
    process = several.torchrun(several.__file__, str(where))
    output = several.outcome_of(process)
    assert process.returncode == 0, output
    (where / "output.txt").write_text("".join(output))
    return where


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The same runs, as far as they are compared, by this process."""
    where = tmp_path_factory.mktemp("alone")
    for case in COMPARED:
        assert run(several.config_of(case, where))
    return where


# ---------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("case", several.CASES)
def test_both_processes_end_with_the_same_parameters(shared, case):
    first, second = (torch.load(shared / f"{case}-{rank}.pt") for rank in range(2))
    parameters = [name for name in first if "running" not in name]
    assert all(torch.equal(first[name], second[name]) for name in parameters)


@pytest.mark.parametrize("case", COMPARED)
def test_losses_are_those_of_one_process_to_rounding(shared, alone, case):
    ours, theirs = (
        [row["loss"] for row in steps_of(folder_of(case, where))] for where in (shared, alone)
    )
    assert len(ours) == 10
    assert ours == pytest.approx(theirs, rel=2e-5)


@pytest.mark.parametrize("case", COMPARED)
def test_the_training_loss_weighs_batches_as_one_process_does(shared, alone, case):
    ours, theirs = (folder_of(case, where).summary()["final"] for where in (shared, alone))
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=2e-5)


def test_passes_are_counted_per_whole_batch(shared, alone):
    ours, theirs = (folder_of("alsals", where).summary() for where in (shared, alone))
    assert ours["forward_passes"] == theirs["forward_passes"]
    assert ours["backward_passes"] == 10


@pytest.mark.parametrize("case", ["adam", "batch_norm"])
def test_an_evaluation_is_that_of_one_process_to_the_bit(shared, case):
    folder = folder_of(case, shared)
    task = build_task_of(several.config_of(case, shared), CPU)
    task.model.load_state_dict(torch.load(folder.checkpoint_file)["model"])
    numbers = evaluate(task, evaluation_batches(task.validation, batch_size=256), device=CPU)
    assert {name: folder.summary()["final"][name] for name in numbers} == numbers


def test_ctrl_c_in_one_process_stops_both_and_they_resume_bit_for_bit(shared):
    whole, broken = (folder_of(case, shared) for case in ("whole", "broken"))
    assert without_seconds(broken) == without_seconds(whole)
    assert len(steps_of(broken)) == 12


def test_processes_draw_random_numbers_of_their_own(shared):
    state = torch.load(folder_of("whole", shared).checkpoint_file)
    (other,) = state["random_of_others"]
    assert not torch.equal(state["random"]["cpu"], other["cpu"])


# ------------------------------------------------------------------------------ files and messages


def test_one_folder_has_the_files_of_a_run(shared):
    folders = [path.parent for path in (shared / "adam").glob("*/*/*/*/config.yaml")]
    assert folders == [folder_of("adam", shared).path]
    assert {path.name for path in folders[0].iterdir()} == FILES | {
        ".lock",
        "curves.png",
        "summary.json",
    }


def test_the_folder_says_how_many_processes_there_were(shared):
    folder = folder_of("adam", shared)
    assert json.loads(folder.env_file.read_text())["processes"] == 2
    assert folder.plan()["processes"] == 2


def test_nothing_is_printed_without_console(shared):
    assert several.lines_of((shared / "output.txt").read_text()) == []


def test_a_finished_run_is_skipped_by_one_process_too(shared, capsys):
    place = f"results_dir={shared / 'adam'}"
    assert run(load(several.changed(several.CASES["adam"], place, "logger.console=true")))
    assert "already run" in capsys.readouterr().out


@pytest.mark.slow
def test_sigterm_to_torchrun_leaves_a_checkpoint_that_one_process_does_not_resume(tmp_path):
    endless = ("trainer.max_steps=null", "trainer.epochs=1000", "logger.console=true")
    place = f"results_dir={tmp_path}"
    arguments = several.changed(several.DROPOUT, "optimizer=adam", place, *endless)
    folder = RunFolder(run_path(load(arguments, environ={})))
    process = several.torchrun("main.py", *arguments)
    end = time.monotonic() + several.LIMIT
    while folder.last_step() is None and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = several.outcome_of(process)
    assert output.count("adam · seed 0") == 1
    assert several.lines_of(errors).count("terminated") == 1
    saved = torch.load(folder.checkpoint_file)
    assert saved["progress"]["step"] == folder.last_step()["step"] > 0
    with pytest.raises(UserError, match="was begun by 2 processes, now 1; start it by torchrun"):
        run(load(arguments, environ={}))


def test_an_error_of_all_processes_is_one_line(tmp_path):
    process = several.torchrun(
        "main.py", *several.SMALL, "trainer.batch_size=5000", f"results_dir={tmp_path / 'runs'}"
    )
    output, errors = several.outcome_of(process)
    (line,) = several.lines_of(errors)
    assert line.startswith("error: trainer.batch_size is 5000, but there are only 1437")
    assert "exitcode  : 2" in errors
    assert output == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "last_line", "code"),
    [
        ("refused", "error: a picture is broken here", 2),
        ("bug", "RuntimeError: a fault of this process alone", 1),
        ("killed", "error: another process of this run was lost; ", -9),
    ],
)
def test_an_error_of_one_process_ends_both_with_its_message_alone(tmp_path, how, last_line, code):
    process = several.torchrun(several.__file__, str(tmp_path), how)
    _, errors = several.outcome_of(process)
    lines = several.lines_of(errors)
    assert lines[-1].removeprefix("[rank1]: ").startswith(last_line)
    assert sum("Traceback" in line for line in lines) == (how == "bug")
    assert len(lines) == 1 or how == "bug"
    assert f"exitcode  : {code} " in errors.partition("Root Cause")[2]


@pytest.mark.slow
def test_digits_ends_within_a_percent_of_one_process(tmp_path):
    accuracies = []
    for name in ("shared", "alone"):
        arguments = ["task=digits", "device=cpu", f"results_dir={tmp_path / name}"]
        folder = RunFolder(run_path(load(arguments, environ={})))
        if name == "shared":
            several.outcome_of(several.torchrun("main.py", *arguments))
        else:
            run(load(arguments, environ={}))
        accuracies.append(folder.summary()["final"]["accuracy"])
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.01)
