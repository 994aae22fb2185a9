"""Parts of a config: `~` in paths of the commands, sections found in files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import TypeAdapter

from experiments.cli.commands import command
from experiments.files.plan_file import write_plan
from experiments.files.run_folder import RunFolder
from experiments.settings import KindSection, kinds_in, one_of, with_home
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


def test_kinds_are_found_in_the_files_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").touch()
    head = "from typing import Literal\nfrom experiments.settings import KindSection\n"
    round_ones = (
        "class Round(KindSection): pass\nclass Disc(Round): kind: Literal['disc'] = 'disc'\n"
    )
    (tmp_path / "shapes" / "disc.py").write_text(head + round_ones)
    cube = "from shapes.disc import Disc\nclass Cube(KindSection): kind: Literal['cube'] = 'cube'\n"
    (tmp_path / "shapes" / "cube.py").write_text(head + cube)
    (tmp_path / "shapes" / "slow.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = kinds_in("shapes", KindSection, without=("slow",))
    assert sorted(kind.__name__ for kind in found) == ["Cube", "Disc"]


def test_one_kind_in_two_files_is_refused() -> None:
    class First(KindSection):
        kind: Literal["same"] = "same"

    class Second(KindSection):
        kind: Literal["same"] = "same"

    with pytest.raises(TypeError, match="'same'"):
        TypeAdapter(one_of((First, Second)))
