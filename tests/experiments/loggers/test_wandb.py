"""wandb never asks, never ends a run, and leaves its numbers as they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from experiments.config import load, run_path
from experiments.loggers.wandb import WandbLogger
from experiments.run import run
from experiments.run_folder import RunFolder
from tests.experiments.loggers.test_console import EVALUATION, make_info, step

REPOSITORY = Path(__file__).resolve().parents[3]


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
    logger = WandbLogger(mode, project="tests", entity=None)
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
    assert line == "warning: wandb failed (the service); training goes on without it"


def test_wandb_is_imported_only_when_used():
    script = "import sys, experiments.run; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY).returncode == 0
