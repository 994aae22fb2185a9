"""wandb never asks, never ends a run, and leaves its numbers as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import wandb

from experiments.config import schema
from experiments.config.compose import config_hash, load, run_path
from experiments.files.run_folder import RunFolder
from experiments.run import run
from experiments.training.loggers.base import Logger, Loggers
from experiments.training.loggers.wandb import WandbLogger
from tests.experiments.training.loggers.test_console import EVALUATION, make_info, step


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path_factory, monkeypatch):
    """No key, no settings of the person who runs the tests, nothing sent."""
    home = tmp_path_factory.mktemp("home")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home))


def log_a_run(tmp_path, mode="offline"):
    settings = schema.Logger(wandb=mode, wandb_project="tests")
    logger = Loggers(Logger(), [WandbLogger(settings)])
    logger.start(make_info(tmp_path))
    logger.step(step(1))
    logger.evaluation(EVALUATION)
    logger.finish({"status": "finished", "final": {"val_loss": 0.5}})


def offline_runs(folder):
    return list(folder.glob("wandb/offline-run-*/*.wandb"))


def test_an_offline_run_is_in_the_folder_and_changes_no_number(tmp_path):
    rows = []
    for mode in ("disabled", "offline"):
        arguments = ["model.width=4", "trainer.max_steps=4", f"logger.wandb={mode}"]
        config = load([*arguments, f"results_dir={tmp_path / mode}"], environ={})
        assert run(config)
        folder = RunFolder(run_path(config))
        rows.append([{**row, "seconds": None} for row in folder.rows()])
        assert len(offline_runs(folder.path)) == (mode == "offline")
    assert rows[0] == rows[1]


# ------------------------------------------------------------- read back with wandb's own command

SMALL = ["task=digits", "model=vit", "model.width=16", "model.layers=1", "model.heads=2"]
LENGTH = ["trainer.max_steps=12", "trainer.eval_every_steps=4", "trainer.checkpoint_every_steps=3"]


def records(file):
    """What `wandb leet inspect --json` prints of an offline run, by type."""
    command = ["wandb", "leet", "inspect", "--json", str(file)]
    # It reports nothing to anybody and leaves its own settings next to the run.
    quiet = {"WANDB_ERROR_REPORTING": "false", "WANDB_CONFIG_DIR": str(file.parent)}
    output = subprocess.run(
        [sys.executable, "-m", *command],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **quiet},
    ).stdout
    found = {}
    for line in output.splitlines():
        record = json.loads(line)
        found.setdefault(record["type"], []).append(record[record["type"]])
    return found


def history(found):
    return {row["item"]["step"]: row["item"] for row in found["history"]}


def assert_has_all_numbers(found, folder):
    """Every row of `metrics.jsonl`, under its step."""
    items = history(found)
    assert len(found["history"]) == len(items), "a step is there twice"
    axes = ("step", "epoch", "seconds", "forward_passes")
    for row in folder.rows():
        item = items[row["step"]]
        prefix = {"step": "train", "evaluation": "evaluation"}[row["event"]]
        expected = {
            name if name in axes else f"{prefix}/{name}": value
            for name, value in row.items()
            if name != "event" and value is not None
        }
        assert expected.items() <= item.items()
    assert sorted(items) == [row["step"] for row in folder.rows() if row["event"] == "step"]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    results = f"results_dir={tmp_path_factory.mktemp('results')}"
    given = ["trainer.hold_out=0.2", "seed=3", "logger.wandb=offline", "logger.console=false"]
    config = load([*SMALL, *LENGTH, *given, results], environ={})
    assert run(config)
    folder = RunFolder(run_path(config))
    (file,) = offline_runs(folder.path)
    return config, folder, records(file)


def test_an_offline_run_holds_the_numbers_of_metrics_jsonl(offline):
    _, folder, found = offline
    assert_has_all_numbers(found, folder)
    assert len([row for row in folder.rows() if row["event"] == "evaluation"]) == 3


def test_a_run_is_found_by_group_type_name_and_tags(offline):
    config, folder, found = offline
    (about,) = found["run"]
    assert about["run_group"] == "default/digits/vit"
    assert (about["job_type"], about["display_name"]) == ("peak_sls", "peak_sls-s3")
    assert set(about["tags"]) == {config_hash(config), "tuning"}
    assert about["run_id"].endswith(folder.path.name)


def test_an_offline_file_names_no_machine_repository_or_command_line(offline):
    _, _, found = offline
    (about,) = found["run"]
    assert not {"host", "git", "program"} & about.keys()
    assert "environment" not in found


def test_metrics_have_axes_and_the_summary_final_and_best(offline):
    _, folder, found = offline
    defined = {m.get("name", m.get("glob_name")): m for m in found["metric"]}
    assert {"step", "epoch", "seconds", "forward_passes"} <= defined.keys()
    assert defined["train/*"]["step_metric"] == "step"
    assert defined["evaluation/val_loss"]["summary"] == {"last": True, "min": True}
    assert defined["evaluation/accuracy"]["summary"] == {"last": True, "max": True}
    summary = {}
    for record in found["summary"]:
        summary |= record["update"]
    ours = folder.summary()
    for which in ("final", "best"):
        for name, value in ours[which].items():
            assert summary[f"{which}/{name}"] == value


def test_the_last_folder_of_a_resumed_run_holds_all_of_it(tmp_path, monkeypatch):
    """Killed after step 7, resumed from step 6: step 7 is trained again and there once."""
    given = ["logger.wandb=offline", "logger.console=false", f"results_dir={tmp_path}"]
    config = load([*SMALL, *LENGTH, *given], environ={})
    folder = RunFolder(run_path(config))
    log = WandbLogger.step

    def dies(self, row):
        log(self, row)
        if row["step"] == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WandbLogger, "step", dies)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    time.sleep(1.1)  # wandb names its folders by the second
    assert run(config)
    first, last = sorted(offline_runs(folder.path), key=lambda file: file.stat().st_mtime_ns)
    assert sorted(history(records(first))) == [1, 2, 3, 4, 5, 6, 7]
    assert first.name == last.name, "not the same wandb run"
    assert_has_all_numbers(records(last), folder)


def test_online_without_a_key_becomes_offline_with_one_line(tmp_path, capsys):
    log_a_run(tmp_path, mode="online")
    assert len(offline_runs(tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: wandb has no key")


def broken(*_arguments, **_keywords):
    raise wandb.Error("the service\nis on fire")


@pytest.mark.parametrize(
    ("owner", "function"), [(wandb, "init"), (wandb.Run, "log"), (wandb.Run, "finish")]
)
def test_a_wandb_that_breaks_is_one_warning(tmp_path, monkeypatch, capsys, owner, function):
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, broken)
        log_a_run(tmp_path)
    wandb.teardown()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: wandb is left out: the service is on fire"
