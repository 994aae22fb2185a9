"""`~` in the folders that commands are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli.commands import command
from experiments.files.plan_file import write_plan
from experiments.files.run_folder import RunFolder
from experiments.settings import with_home
from tests.experiments.sweep.sweeps import copy_config, make_sweep


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["report", "status", "landscape"])
def test_folders_of_commands_are_looked_for_at_home(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([name, "~/results"]) == 2
    assert str(home / "results") in capsys.readouterr().err
    assert command([name, "~no-one/results"]) == 2
    assert "no home folder for '~no-one'" in capsys.readouterr().err


def test_status_shows_the_runs_at_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(home / "results/default/digits-resnet/alsals/s0-01234567")
    folder.create()
    assert command(["status", "~/results"]) == 0
    assert "waiting" in capsys.readouterr().out


def test_both_stages_of_a_sweep_lie_at_home(home: Path) -> None:
    root = copy_config(home)
    tuning = {"optimizers": {"adam": {"lr": [1e-3, 1e-2]}}}
    sweep = make_sweep(root, results_dir="~/here", tuning=tuning)
    runs = [*sweep.tuning_runs(), *sweep.comparison_runs()]
    assert {run.stage for run in runs} == {"tuning", "comparison"}
    assert all(run.folder.path.is_relative_to(home / "here") for run in runs)
    assert write_plan(sweep.plan(), sweep.results_dir) == home / "here" / "plans" / "mine.json"


def test_only_a_first_tilde_is_a_home_folder(home: Path) -> None:
    assert with_home("~", "key") == str(home)
    assert with_home("a~", "key") == "a~"
    assert with_home("", "key") == ""
