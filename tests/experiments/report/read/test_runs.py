"""A folder of runs is read as it is planned, and whatever is broken is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_plan, write_run


def places(root: Path) -> list[tuple[str, str, str, int]]:
    return [(run.stage, run.row, run.label, run.seed) for run in read_results(root).runs]


def test_without_a_plan_every_run_is_compared(tmp_path: Path) -> None:
    write_run(tmp_path, optimizer="adam", seed=1)
    write_run(tmp_path, optimizer="adam", hold_out=0.1)
    assert places(tmp_path) == [
        ("comparison", "mrpc_bert", "adam", 1),
        ("tuning", "mrpc_bert", "adam", 0),
    ]


def test_without_an_experiment_the_row_is_task_and_model(tmp_path: Path) -> None:
    write_run(tmp_path, row="default", task="glue/mrpc", model="bert")
    assert places(tmp_path) == [("comparison", "glue_mrpc-bert", "adam", 0)]


def test_settings_that_differ_are_in_the_label(tmp_path: Path) -> None:
    write_run(tmp_path, settings={"lr": 0.01})
    write_run(tmp_path, settings={"lr": 0.1})
    write_run(tmp_path, settings={"lr": 0.1}, seed=1)
    write_run(tmp_path, optimizer="alsals", settings={"c": 0.5})
    assert sorted(place[2] for place in places(tmp_path)) == [
        "adam lr=0.01",
        "adam lr=0.1",
        "adam lr=0.1",
        "alsals",
    ]


def test_a_plan_gives_stage_row_and_label(tmp_path: Path) -> None:
    mine = write_run(tmp_path, optimizer="alsals", settings={"c": 0.5})
    write_run(tmp_path, optimizer="alsals", settings={"c": 0.1})
    tuned = write_run(tmp_path, optimizer="adam", hold_out=0.1)
    write_plan(
        tmp_path,
        [{"row": "MRPC", "label": "alsals c=0.5", "seeds": [0, 1], "folders": [mine, None]}],
        tuning=[{"row": "MRPC", "label": "Adam", "folder": tuned.relative_to(tmp_path).as_posix()}],
    )
    assert sorted(places(tmp_path)) == [
        ("comparison", "MRPC", "alsals c=0.5", 0),
        ("other", "mrpc_bert", "alsals", 0),
        ("tuning", "MRPC", "Adam", 0),
    ]
    [cell] = read_results(tmp_path).planned
    assert (cell.row, cell.label, cell.seeds) == ("MRPC", "alsals c=0.5", (0, 1))


def test_two_plans_of_the_same_cell_are_shown_apart_or_joined(tmp_path: Path) -> None:
    first = write_run(tmp_path, seed=0)
    second = write_run(tmp_path, seed=1)
    other = write_run(tmp_path, seed=0, settings={"lr": 9.0})
    cell = {"row": "mrpc_bert", "label": "adam"}
    write_plan(tmp_path, [{**cell, "seeds": [0], "folders": [first]}], sweep="a")
    write_plan(tmp_path, [{**cell, "seeds": [1], "folders": [second]}], sweep="b")
    write_plan(tmp_path, [{**cell, "seeds": [0], "folders": [other]}], sweep="c")
    results = read_results(tmp_path)
    assert [(c.label, c.seeds) for c in results.planned] == [("adam", (0, 1)), ("adam (c)", (0,))]
    labels = {run.folder: run.label for run in results.runs}
    assert labels == {first: "adam", second: "adam", other: "adam (c)"}
    assert "Sweep c has other runs for MRPC · BERT with Adam" in results.warnings[0]


def test_a_broken_plan_is_told(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "text.json").write_text('{"sweep": "text"')
    results = read_results(tmp_path)
    assert [run.stage for run in results.runs] == ["comparison"]
    assert results.warnings[0].startswith("plans/text.json is not a plan and was left out")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("finished", "finished"),
        ("diverged", "diverged"),
        ("stuck", "stuck"),
        (None, "unfinished"),
    ],
)
def test_status(tmp_path: Path, status: str | None, expected: str) -> None:
    write_run(tmp_path, status=status)
    [run] = read_results(tmp_path).runs
    assert run.status == expected


NO_COST = {"status": "finished", "score": "accuracy", "final": {}, "best": {}, "steps": "many"}


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "finished"}', json.dumps(NO_COST)])
def test_a_broken_summary_makes_the_run_unfinished(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path)
    (folder / "summary.json").write_text(text)
    results = read_results(tmp_path)
    assert [run.status for run in results.runs] == ["unfinished"]
    [warning] = results.warnings
    assert str(folder.relative_to(tmp_path) / "summary.json") in warning


@pytest.mark.parametrize("text", ["a: [", "", "seed: 0", "[]"])
def test_a_run_with_a_broken_config_is_left_out(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, seed=1)
    broken = write_run(tmp_path, seed=2)
    (broken / "config.yaml").write_text(text)
    results = read_results(tmp_path)
    assert [run.seed for run in results.runs] == [1]
    [warning] = results.warnings
    assert str(broken.relative_to(tmp_path) / "config.yaml") in warning


def test_a_broken_env_leaves_the_run_in(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "env.json").write_text("{")
    results = read_results(tmp_path)
    assert [(run.status, run.env) for run in results.runs] == [("finished", {})]
    assert "env.json cannot be read" in results.warnings[0]


def test_a_commit_that_is_none_leaves_the_run_in(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "env.json").write_text('{"git": "main"}')
    results = read_results(tmp_path)
    assert results.runs[0].env["git"] == {}
    assert "env.json does not say the commit" in results.warnings[0]


def test_a_half_written_line_is_a_warning_with_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')
    results = read_results(tmp_path)
    where = folder.relative_to(tmp_path) / "metrics.jsonl"
    assert results.warnings == (f"{where}: its last line is only half written and was left out.",)
    assert len(results.runs[0].steps) == 4


def test_different_versions_are_told(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, commit="a" * 40)
    write_run(tmp_path, seed=1, commit="b" * 40)
    write_run(tmp_path, seed=2, commit="b" * 40)
    assert read_results(tmp_path).warnings == (
        "The runs are of different versions of this code (commits): aaaaaaa (1 run), "
        "bbbbbbb (2 runs).",
    )


def test_an_older_summary_does_not_say_that_its_score_is_a_loss(tmp_path: Path) -> None:
    folder = write_run(tmp_path, score="val_loss")
    summary = json.loads((folder / "summary.json").read_text())
    del summary["score_is_loss"]
    (folder / "summary.json").write_text(json.dumps(summary))
    [run] = read_results(tmp_path).runs
    assert (run.score, run.score_is_loss) == ("val_loss", True)


def test_an_unfinished_run_is_judged_as_its_row(tmp_path: Path) -> None:
    write_run(tmp_path, score="mcc", seed=0)
    write_run(tmp_path, score="mcc", seed=1, status=None)
    assert [run.score for run in read_results(tmp_path).runs] == ["mcc", "mcc"]


def test_what_is_no_run_is_not_looked_at(tmp_path: Path) -> None:
    write_run(tmp_path)
    other = tmp_path / "report" / "pictures" / "x" / "s0-1"
    other.mkdir(parents=True)
    assert len(read_results(tmp_path).runs) == 1
