"""`python -m experiments landscape`: files in the run's folder, errors in one line."""

from __future__ import annotations

import json
import tempfile

import pytest
from matplotlib import image

from experiments.cli.commands import command
from experiments.config.compose import load, run_path, to_yaml
from experiments.errors import OK, UserError
from experiments.files.run_folder import RunFolder
from experiments.landscape.command import read_config, spread_steps
from experiments.landscape.look import Looker
from experiments.run import run

TINY = ["task=digits", "model=vit", "model.width=16", "model.layers=1", "model.heads=2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 25 steps with dropout, and an evaluation in the middle."""
    given = ["model.dropout=0.1", "trainer.max_steps=25", "optimizer=alsals", "device=cpu"]
    results = f"results_dir={tmp_path_factory.mktemp('results')}"
    config = load([*TINY, *given, results, "logger.console=false"], environ={})
    assert run(config)
    return RunFolder(run_path(config))


def contents(folder):
    ours = (folder.landscape_file, folder.landscape_picture)
    files = (path for path in folder.path.iterdir() if path not in ours)
    return {path.name: path.read_bytes() for path in files}


def test_it_leaves_a_picture_and_numbers_and_touches_nothing_else(finished, capsys):
    before = contents(finished)
    words = ["landscape", str(finished.path), "steps=[20,1,4]", "points=7", "reach=2"]
    assert command(words) == OK
    assert contents(finished) == before
    assert image.imread(finished.landscape_picture).shape[1] == 1200
    data = json.loads(finished.landscape_file.read_text())
    assert (data["optimizer"], data["reach"]) == ("alsals", 2.0)
    assert [look["step"] for look in data["steps"]] == [1, 4, 20]
    recorded = {row["step"]: row for row in finished.rows() if row["event"] == "step"}
    for look in data["steps"]:
        row = recorded[look["step"]]
        assert (look["loss"], look["accepted_step"]) == (row["loss"], row["step_size"])
        (line,) = look["lines"]
        assert line["loss"][line["t"].index(row["step_size"])] == row["loss_next"]
        least = min(line["loss"])
        assert look["best_step"] == line["t"][line["loss"].index(least)]
        assert look["ratio"] == row["step_size"] / look["best_step"]
    assert data["largest_difference"] == 0
    output = capsys.readouterr().out
    assert "step 20/20" in output, "no progress was shown"
    assert str(finished.landscape_picture) in output
    assert "not exact" not in output


def test_a_repetition_that_differs_says_so(finished, tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.config_file.write_bytes(finished.config_file.read_bytes())
    for row in finished.rows():
        if row["event"] == "step":
            folder.append_row(row | {"loss": row["loss"] + 0.5})
    assert command(["landscape", str(tmp_path), "steps=2", "points=3"]) == OK
    assert "differ from the recorded ones by up to 0.5" in capsys.readouterr().out


def test_by_default_six_steps_are_spread_over_the_run(finished):
    assert command(["landscape", str(finished.path), "points=3"]) == OK
    looks = json.loads(finished.landscape_file.read_text())["steps"]
    assert [look["step"] for look in looks] == [1, 2, 4, 7, 13, 25]
    assert spread_steps(1) == [1]
    assert spread_steps(100_000) == [1, 10, 100, 1000, 10_000, 100_000]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steps=[1,26]"], "steps (command line): 26 is beyond the run's end; its last step is 25"),
        (["steps=[0]"], "steps.0 (command line): must be greater than 0, not 0"),
        (["steps=[1.5]"], "steps.0 (command line): must be a whole number, not 1.5"),
        (["points=2"], "points (command line): must be greater than or equal to 3, not 2"),
        (["reach=1"], "reach (command line): must be greater than 1, not 1"),
        (["step=[1]"], "step (command line): unknown key; did you mean 'steps'?"),
        (["reach=2", "reach=3"], "reach (command line): given twice"),
        (["10"], "'10' (command line): must be key=value"),
    ],
)
def test_wrong_arguments_are_one_line(finished, capsys, words, message):
    assert command(["landscape", str(finished.path), *words]) == UserError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_without_a_run_it_says_what_is_missing(finished, tmp_path, capsys):
    for words, message in [
        ([], "required: FOLDER"),
        ([str(tmp_path / "nowhere")], "nowhere: no such folder"),
        ([str(tmp_path)], "is not a run's folder: it has no config.yaml"),
    ]:
        assert command(["landscape", *words]) == UserError.exit_code
        assert message in capsys.readouterr().err
    RunFolder(tmp_path).config_file.write_bytes(finished.config_file.read_bytes())
    assert command(["landscape", str(tmp_path)]) == UserError.exit_code
    assert "has no step in metrics.jsonl" in capsys.readouterr().err


def test_data_that_are_gone_are_one_line_and_leave_nothing(tmp_path, capsys):
    config = load(["task=image_folder", f"data_root={tmp_path / 'gone'}"], environ={})
    folder = RunFolder(tmp_path)
    folder.write_config(to_yaml(config))
    folder.append_row({"event": "step", "step": 1, "loss": 1.0})
    before = contents(folder)
    assert command(["landscape", str(tmp_path)]) == UserError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert "gone" in line
    assert contents(folder) == before
    assert not folder.landscape_file.exists()


def test_data_elsewhere_can_be_named(finished):
    assert read_config(finished, "else/where", environ={}).data_root == "else/where"
    assert read_config(finished, None, environ={"SLS_DATA_ROOT": "there"}).data_root == "there"


def test_ctrl_c_leaves_nothing_behind(finished, tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Looker, "__call__", interrupted)
    for path in (finished.landscape_file, finished.landscape_picture):
        path.unlink(missing_ok=True)
    before = contents(finished)
    assert command(["landscape", str(finished.path)]) == 130
    assert contents(finished) == before
    assert not finished.landscape_file.exists()
    assert list(tmp_path.iterdir()) == []
