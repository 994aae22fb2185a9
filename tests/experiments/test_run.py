"""A config becomes the folder of a finished run, whatever happens on the way."""

from __future__ import annotations

import getpass
import json
import platform
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from experiments.config.compose import load, run_path
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.run import make_plan, run
from experiments.training.checkpoint import Interrupt, InterruptedBetweenSteps

REPOSITORY = Path(__file__).resolve().parents[2]

# A Vision Transformer with dropout on the digits, small enough for a test: 46 steps.
TINY = [
    "task=digits",
    "model=vit",
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.dropout=0.1",
    "trainer.epochs=2",
    "device=cpu",
]
FILES = [
    ".lock",
    "best.pt",
    "checkpoint.pt",
    "config.yaml",
    "curves.png",
    "env.json",
    "metrics.jsonl",
    "plan.json",
    "summary.json",
]


def make_config(results, *arguments):
    given = {argument.partition("=")[0] for argument in arguments}
    tiny = [argument for argument in TINY if argument.partition("=")[0] not in given]
    config = load([*tiny, f"results_dir={results}", *arguments], environ={})
    return config, RunFolder(run_path(config))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: its config and its folder."""
    config, folder = make_config(tmp_path_factory.mktemp("results"), "optimizer=alsals")
    assert run(config)
    return config, folder


def test_a_run_leaves_its_files_and_nothing_else(finished):
    _, folder = finished
    assert sorted(path.name for path in folder.path.iterdir()) == FILES


def test_the_summary_has_what_reports_need(finished):
    _, folder = finished
    summary = json.loads(folder.summary_file.read_text())
    assert summary["status"] == "finished"
    assert (summary["task"], summary["model"], summary["optimizer"]) == ("digits", "vit", "alsals")
    assert (summary["seed"], summary["steps"], summary["epochs"]) == (0, 46, 2.0)
    assert summary["diverged"] is False
    assert summary["seconds_training"] > 0
    assert summary["forward_passes"] > summary["backward_passes"] == 46
    assert summary["parameters"] > 0
    assert summary["seconds_total"] > summary["seconds_training"]
    assert (summary["score"], summary["score_is_loss"]) == ("accuracy", False)
    for which in ("final", "best"):
        assert {"step", "train_loss", "val_loss", "accuracy"} == summary[which].keys()


def test_the_summary_agrees_with_the_last_evaluation(finished):
    _, folder = finished
    row = [row for row in folder.rows() if row["event"] == "evaluation"][-1]
    assert folder.summary()["final"] == {
        name: row[name] for name in ("step", "train_loss", "val_loss", "accuracy")
    }


def test_the_config_of_the_folder_makes_the_same_config(finished):
    config, folder = finished
    assert folder.config() == config.model_dump(mode="json")


def test_env_names_versions_and_neither_user_nor_host_nor_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "hunter-two")
    config, folder = make_config(tmp_path, "optimizer=adam", "trainer.max_steps=1")
    run(config)
    text = folder.env_file.read_text()
    env = json.loads(text)
    assert env["torch"] == torch.__version__
    assert env["python"] == platform.python_version()
    assert env["device"] == "cpu"
    assert {"sls", "numpy", "transformers", "git", "platform", "threads"} <= env.keys()
    assert "hunter-two" not in text
    assert platform.node() not in text
    assert f'"{getpass.getuser()}"' not in text


def test_a_finished_run_is_skipped_and_nothing_is_written(finished, capsys):
    config, folder = finished
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    capsys.readouterr()
    assert run(config)
    output = capsys.readouterr().out
    assert "already run" in output
    assert str(folder.path) in output
    assert "accuracy" in output
    assert {path: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before


def test_without_console_nothing_is_printed(tmp_path, capsys):
    config, _ = make_config(tmp_path, "trainer.max_steps=2", "logger.console=false")
    run(config)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "sls", "adam_sls", "salsa"])
def test_every_optimizer_runs(tmp_path, optimizer):
    config, folder = make_config(tmp_path, f"optimizer={optimizer}", "trainer.max_steps=3")
    assert run(config)
    assert folder.summary()["steps"] == 3


def test_a_run_that_diverges_says_so(tmp_path):
    config, folder = make_config(tmp_path, "optimizer=sgd", "optimizer.lr=1e30")
    assert not run(config)
    summary = folder.summary()
    assert (summary["status"], summary["diverged"]) == ("diverged", True)
    assert summary["final"]["val_loss"] is None
    assert not run(config), "a diverged run must not count as finished when it is skipped"


# --------------------------------------------------------------------- what is refused, and broken


@pytest.mark.parametrize("device", ["cdua", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_a_user_error_without_a_folder(tmp_path, device):
    config, _ = make_config(tmp_path, f"device={device}")
    with pytest.raises(UserError, match=r"^device: "):
        run(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["task=image_folder", "model=vit", "data_root=/nowhere"],
        ["optimizer=alsals_paper", "optimizer.growth=1.5"],
        ["trainer.group_by_length=4"],
    ],
    ids=["data", "optimizer", "grouping"],
)
def test_what_is_refused_leaves_no_folder(tmp_path, arguments):
    results = tmp_path / "results"
    config = load([*arguments, f"results_dir={results}"], environ={})
    with pytest.raises(UserError):
        run(config)
    assert not results.exists()


def test_fewer_training_examples_than_a_batch_are_refused_without_a_folder(tmp_path):
    config, folder = make_config(tmp_path, "trainer.batch_size=1500")
    with pytest.raises(UserError, match="batch_size is 1500, but there are only 1437 training"):
        run(config)
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data_root=some/data"], ".sls_cache"),
        (["cache_dir=elsewhere"], "elsewhere"),
        (["cache_dir=null"], None),
    ],
)
def test_the_cache_is_here_and_never_among_the_data_unless_it_is_wanted_there(
    tmp_path, monkeypatch, arguments, expected
):
    found = []

    def build(_task, _model, *, cache, **_others):
        found.append(cache)
        raise UserError("enough")

    monkeypatch.setattr("experiments.run.build_task", build)
    config, _ = make_config(tmp_path, *arguments)
    with pytest.raises(UserError, match="enough"):
        run(config)
    assert found == [None if expected is None else Path.cwd() / expected]


def test_a_folder_in_use_is_a_user_error_that_names_it(tmp_path):
    config, folder = make_config(tmp_path)
    folder.create()
    hold = (
        "import sys, time; from pathlib import Path; from experiments.files.run_folder import *\n"
    )
    hold += "with RunFolder(Path(sys.argv[1])).lock(): print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match=str(folder.path)):
            run(config)
        other.kill()


def test_an_error_in_training_leaves_a_run_that_can_go_on(tmp_path):
    config, folder = make_config(
        tmp_path, "trainer.max_steps=30", "trainer.checkpoint_every_steps=10"
    )
    folder.create()
    folder.best_file.mkdir()  # so that the first evaluation, at step 23, cannot write it
    with pytest.raises(UserError, match=r"best\.pt: Is a directory"):
        run(config)
    assert folder.summary() is None
    assert len(folder.rows()) == 24
    folder.best_file.rmdir()
    assert run(config)
    assert [row["step"] for row in folder.rows() if row["event"] == "step"] == list(range(1, 31))


# -------------------------------------------------------------- what is shown stops nothing trained


def run_with(tmp_path, capsys, *arguments):
    """A short run; returns its folder and the lines of standard error."""
    config, folder = make_config(tmp_path, "trainer.max_steps=3", *arguments)
    assert run(config)
    assert folder.summary()["status"] == "finished"
    return folder, capsys.readouterr().err.splitlines()


def broken(*_arguments, **_keywords):
    raise RuntimeError("cannot be shown\nin any way")


def test_a_picture_that_cannot_be_drawn_is_one_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.report.figures.run_figure.draw_curves", broken)
    _, errors = run_with(tmp_path, capsys)
    assert errors == ["warning: curves.png is left out: cannot be shown in any way"]


def test_a_picture_without_a_place_is_one_warning(tmp_path, capsys):
    _, folder = make_config(tmp_path, "trainer.max_steps=3")
    folder.create()
    folder.curves_file.mkdir()
    _, errors = run_with(tmp_path, capsys)
    assert errors == [
        f"warning: curves.png is left out: {folder.curves_file}: Is a directory",
    ]


@pytest.mark.parametrize("function", ["say", "first_line", "evaluation_line", "number"])
def test_a_console_that_breaks_is_left_out(tmp_path, capsys, monkeypatch, function):
    monkeypatch.setattr(f"experiments.training.loggers.console.{function}", broken)
    _, errors = run_with(tmp_path, capsys)
    assert errors == ["warning: the console is left out: cannot be shown in any way"]


def test_a_damaged_line_is_left_out_of_the_picture_with_one_warning(tmp_path, capsys):
    config, folder = make_config(tmp_path, "trainer.max_steps=3")
    assert run(config)
    damaged = folder.metrics_file.read_bytes()
    folder.metrics_file.write_bytes(b"\0" * 60 + damaged[60:])
    folder.summary_file.unlink()  # so that the run ends once more, from its checkpoint
    capsys.readouterr()
    _, errors = run_with(tmp_path, capsys)
    assert errors == [
        f"warning: {folder.metrics_file}:1: 1 line cannot be read; curves.png omits them"
    ]
    assert folder.curves_file.exists()


def test_broken_records_of_a_resumed_run_are_made_anew_with_a_warning_each(tmp_path, capsys):
    _, folder = make_config(tmp_path, "trainer.max_steps=3")
    folder.create()
    folder.config_file.touch()
    folder.env_file.write_text("[]")
    _, errors = run_with(tmp_path, capsys)
    assert errors == [
        f"warning: {folder.config_file} is not a mapping; it is written anew",
        f"warning: {folder.env_file} is not a JSON object; it is written anew",
    ]
    assert folder.config()["seed"] == 0


def test_the_summary_is_written_before_anything_is_shown(tmp_path, capsys, monkeypatch):
    found = []

    def draw(folder):
        found.append(folder.summary())
        return []

    monkeypatch.setattr("experiments.report.figures.run_figure.draw_curves", draw)
    folder, _ = run_with(tmp_path, capsys)
    assert found == [folder.summary()]


def test_an_old_summary_that_says_little_is_shown_as_far_as_it_goes(tmp_path, capsys):
    _, folder = make_config(tmp_path, "trainer.max_steps=3")
    folder.create()
    folder.write_summary({"status": "finished", "steps": 0})
    _, errors = run_with(tmp_path, capsys)
    assert errors == []


# ------------------------------------------------------------------------------------ being killed

ARGUMENTS = [
    *TINY,
    "optimizer=alsals",
    "trainer.eval_every_steps=20",
    "trainer.eval_batch_size=1",  # a slow evaluation, to be killed in
    "trainer.checkpoint_every_steps=7",
]


def start(results):
    command = [sys.executable, "main.py", *ARGUMENTS, f"results_dir={results}"]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end_it(process, folder, step, number, delay):
    """Send a signal when the row of a step is there, and return how the process ended."""
    sought = f'"event": "step", "step": {step},'
    while not folder.metrics_file.exists() or sought not in folder.metrics_file.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.0005)
    time.sleep(delay)
    process.send_signal(number)
    process.communicate()
    return process.returncode


def without_time(value):
    if isinstance(value, dict):
        timed = ("seconds", "seconds_training", "seconds_evaluation", "seconds_total")
        return {k: without_time(v) for k, v in value.items() if k not in timed}
    return [without_time(item) for item in value] if isinstance(value, list) else value


def assert_same(one, other, where):
    """Equal to the last bit, tensors included."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert one == other, where


def load_checkpoint(folder):
    checkpoint = torch.load(folder.checkpoint_file, weights_only=True)
    checkpoint.pop("metrics_length")  # the digits of the seconds differ in number
    return without_time(checkpoint)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(tmp_path):
    random_step, random_delay = random.randrange(31, 44), random.uniform(0, 0.02)
    kills = [
        (14, signal.SIGTERM, 0.0),
        (20, signal.SIGKILL, 0.05),  # in an evaluation
        (29, signal.SIGINT, 0.0),
        (random_step, signal.SIGKILL, random_delay),
    ]
    config = load([*ARGUMENTS, f"results_dir={tmp_path / 'whole'}"], environ={})
    assert run(config)
    whole = RunFolder(run_path(config))
    broken = RunFolder(tmp_path / "broken" / whole.path.relative_to(tmp_path / "whole"))

    for step, number, delay in kills:
        code = end_it(start(tmp_path / "broken"), broken, step, number, delay)
        told = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
        assert code == told[number], (step, number)
        assert broken.summary() is None
    last = start(tmp_path / "broken")
    output, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert "resumed after step" in output

    assert without_time(broken.rows()) == without_time(whole.rows()), f"killed at {kills}"
    assert_same(load_checkpoint(broken), load_checkpoint(whole), f"checkpoint, killed at {kills}")
    assert without_time(broken.summary()) == without_time(whole.summary())
    best, expected = (torch.load(f.best_file, weights_only=True) for f in (broken, whole))
    assert_same(best, expected, "best.pt")


# -------------------------------------------------------------------------------------- quirks


def step_losses(folder):
    return [row["loss"] for row in folder.rows() if row["event"] == "step"]


def test_with_one_seed_every_seed_is_42(tmp_path):
    short = ("optimizer=adam", "trainer.max_steps=3")
    losses = []
    for arguments in (["seed=1", "quirks.one_seed=true"], ["seed=42"], ["seed=1"]):
        config, folder = make_config(tmp_path, *short, *arguments)
        assert run(config)
        losses.append(step_losses(folder))
    assert losses[0] == losses[1] != losses[2]


def plan_of(*arguments):
    return make_plan(load(["profile=paper", *arguments], environ={}), examples=100)


def test_quirks_of_the_plan_concern_the_tasks_that_they_were_made_in():
    text, pictures = plan_of("task=glue/mrpc"), plan_of("task=digits")
    masked = plan_of("task=lm/shakespeare_masked")
    plans = (text, pictures, masked)
    assert [plan.evaluation_mode for plan in plans] == [True, False, False]
    assert [plan.metrics_of_one_batch for plan in plans] == [False, True, False]
    assert [plan.fixed_order for plan in plans] == [True] * 3


# ----------------------------------------------------------------------- steps that move nothing

FAR = ["model=mlp", "optimizer=alsals", "optimizer.init_step=1e30", "optimizer.max_trials=2"]


def make_stuck(results):
    own = ["task=digits", "model.width=8", "trainer.max_steps=4", "device=cpu"]
    config = load([*own, *FAR, f"results_dir={results}"], environ={})
    return config, RunFolder(run_path(config))


def test_a_run_in_which_no_step_moved_anything_is_stuck_and_says_so(tmp_path, capsys):
    config, folder = make_stuck(tmp_path)
    assert not run(config)
    summary = folder.summary()
    assert (summary["status"], summary["steps"], summary["steps_refused"]) == ("stuck", 4, 4)
    output = capsys.readouterr().out
    assert "stuck: 4 steps" in output
    assert "4 of 4 steps moved nothing" in output
    assert not run(config), "a stuck run must not count as finished when it is skipped"


def test_the_steps_that_moved_nothing_are_counted_across_a_stop(tmp_path, monkeypatch):
    config, folder = make_stuck(tmp_path)
    looks = []

    def check(_interrupt):
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedBetweenSteps

    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "check", check)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert not run(config)
    assert folder.summary()["steps_refused"] == 4


@pytest.mark.parametrize("optimizer", ["adam", "alsals", "peak_sls"])
def test_where_steps_move_none_is_counted(tmp_path, optimizer, capsys):
    config, folder = make_config(tmp_path, f"optimizer={optimizer}", "trainer.max_steps=3")
    assert run(config)
    assert folder.summary()["steps_refused"] == 0
    assert "moved nothing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer=sls optimizer.init_step=1e39", "init_step of parameter group 0 is 1e+39"),
        ("optimizer=adam optimizer.lr=1e39", "1e+39 is beyond float32"),
        ("optimizer=sgd optimizer.lr=1e-60", "1e-60 is beyond float32"),
        ("optimizer=alsals optimizer.weight_decay=1e60", "weight_decay of parameter group 0 is"),
    ],
)
def test_a_number_that_the_parameters_cannot_hold_leaves_no_folder(tmp_path, setting, message):
    kind, number = setting.split()
    config, _ = make_config(tmp_path, kind, number)
    key, _, _ = number.partition("=")
    with pytest.raises(UserError, match="^" + re.escape(f"{key}: {message}")):
        run(config)
    assert list(tmp_path.iterdir()) == []
