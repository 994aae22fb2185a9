"""Which runs a folder has, by its plans or by its folders, and the command that shows them."""

from __future__ import annotations

import json

import pytest

from experiments.cli.commands import command
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.sweep.status import Watch, known_runs


def make_folder(path, *, status=None):
    folder = RunFolder(path)
    folder.create()
    if status is not None:
        folder.write_summary({"status": status, "steps": 3, "seconds_total": 1.0})
    return folder


def write_plan(results, name, *, cells=(), tuning=()):
    (results / "plans").mkdir(exist_ok=True)
    plan = {"sweep": name, "cells": list(cells), "tuning": list(tuning), "winners": []}
    (results / "plans" / f"{name}.json").write_text(json.dumps(plan))


def cell(folders, seeds=(0, 1), label="alsals"):
    return {"row": "a_row", "label": label, "seeds": list(seeds), "folders": list(folders)}


def seen(results):
    return [(run.stage, run.row, run.label, run.seed, run.folder) for run in known_runs(results)]


def test_a_plan_says_which_runs_there_are_even_without_their_folders(tmp_path):
    tuned = {"row": "a_row", "label": "adam", "lr": 1e-3, "seed": 0, "folder": "tuning/x"}
    reference = {"row": "a_row", "label": "alsals", "lr": None, "seed": 0, "folder": "tuning/y"}
    cells = [cell(["e/t-m/alsals/s0-1", "e/t-m/alsals/s1-1"]), cell([None], [0], "adam")]
    write_plan(tmp_path, "cpu", cells=cells, tuning=[tuned, reference])
    assert seen(tmp_path) == [
        ("tuning", "a_row", "adam lr=0.001", 0, tmp_path / "tuning/x"),
        ("tuning", "a_row", "alsals", 0, tmp_path / "tuning/y"),
        ("comparison", "a_row", "alsals", 0, tmp_path / "e/t-m/alsals/s0-1"),
        ("comparison", "a_row", "alsals", 1, tmp_path / "e/t-m/alsals/s1-1"),
        ("comparison", "a_row", "adam", 0, None),
    ]


def test_a_run_without_a_folder_yet_waits(tmp_path):
    write_plan(tmp_path, "cpu", cells=[cell([None], [0])])
    [run] = known_runs(tmp_path)
    assert run.now().state.kind == "waiting"


def test_a_run_of_two_plans_is_counted_once(tmp_path):
    for name in ("one", "other"):
        write_plan(tmp_path, name, cells=[cell(["e/t-m/alsals/s0-1"], [0])])
    assert len(known_runs(tmp_path)) == 1


def test_without_a_plan_the_folders_of_runs_are_found(tmp_path):
    runs = ["cpu_mrpc/t-m/adam/s3-0a1b2c3d", "default/digits-vit/sls/s0-0a1b2c3d"]
    for run in [*runs, "tuning/cpu_mrpc/t-m/adam/s1-0a1b2c3d", "report/a/b/solution-x"]:
        make_folder(tmp_path / run)
    assert seen(tmp_path) == [
        ("tuning", "cpu_mrpc", "adam", 1, tmp_path / "tuning/cpu_mrpc/t-m/adam/s1-0a1b2c3d"),
        ("", "cpu_mrpc", "adam", 3, tmp_path / runs[0]),
        ("", "digits-vit", "sls", 0, tmp_path / runs[1]),
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": [{}], "tuning": []}'])
def test_a_broken_plan_is_a_user_error_that_names_it(tmp_path, text):
    write_plan(tmp_path, "cpu")
    (tmp_path / "plans" / "cpu.json").write_text(text)
    with pytest.raises(UserError, match=r"cpu\.json is no plan"):
        known_runs(tmp_path)


def test_what_is_done_is_looked_at_once_and_the_rest_again(tmp_path, monkeypatch):
    done = make_folder(tmp_path / "e/t-m/alsals/s0-1", status="finished")
    other = make_folder(tmp_path / "e/t-m/alsals/s1-1")
    watch = Watch(known_runs(tmp_path))
    monkeypatch.setattr(watch, "_not_before", 0.0)
    assert [entry.state.kind for entry in watch.entries()] == ["finished", "waiting"]
    done.summary_file.unlink()
    other.write_summary({"status": "diverged", "steps": 3})
    monkeypatch.setattr(watch, "_not_before", 0.0)
    assert [entry.state.kind for entry in watch.entries()] == ["finished", "diverged"]


def test_the_command_prints_counts_and_reasons(tmp_path, capsys):
    make_folder(tmp_path / "cpu_mrpc/t-m/adam/s0-0a1b2c3d", status="finished")
    failed = make_folder(tmp_path / "cpu_mrpc/t-m/adam/s1-0a1b2c3d")
    failed.write_failure({"exit_code": 2, "attempts": 1, "reason": "no data", "output": []})
    assert command(["status", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("1 finished, 0 running, 0 waiting, 1 failed\n")
    assert "failed: no data" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: FOLDER (command line); see python -m experiments status --help"),
        (["a", "b"], "'b' is one argument too many"),
        (["{folder}/nothing"], "no such folder"),
        (["{folder}"], "no runs and no plan"),
        (["{folder}", "--wach"], "did you mean '--watch'"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, capsys, arguments, message):
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert command(["status", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
