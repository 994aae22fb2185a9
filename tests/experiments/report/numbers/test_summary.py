"""The summary in plain words, and how many runs came to their end."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.cost import (
    performance_profiles,
    step_cost_table,
    time_to_target_table,
)
from experiments.report.numbers.outcomes import not_finished_table, versions_table
from experiments.report.numbers.published import published_tables
from experiments.report.numbers.scores import loss_table, score_tables
from experiments.report.numbers.significance import over_rows_table, paired_tables
from experiments.report.numbers.summary import summary
from experiments.report.numbers.tuning_grid import budget, grid_table, tuning_points
from experiments.report.read.records import Results
from experiments.report.read.runs import read_results
from experiments.report.write.csv import runs_csv
from tests.experiments.report.folders import write_plan, write_run


def said(root: Path) -> str:
    return "\n".join(summary(Comparison(read_results(root))))


def test_runs_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path, seed=0),
        write_run(tmp_path, seed=1, status="diverged"),
        write_run(tmp_path, seed=2, status=None),
        write_run(tmp_path, seed=3, status=None),
    ]
    (runs[3] / "failure.json").write_text(json.dumps({"exit_code": 1}))
    cell = {"row": "mrpc_bert", "label": "adam", "seeds": list(range(6))}
    write_plan(tmp_path, [{**cell, "folders": [*runs, None, None]}])
    counted = "1 run finished, 1 diverged, 1 failed, 1 unfinished, 2 not started"
    assert f"Comparison: {counted}. Tuning: none." in said(tmp_path)
    table = not_finished_table(read_results(tmp_path))
    assert [row[1].text for row in table.rows] == ["diverged", "unfinished", "failed"]


def test_who_is_best_where(tmp_path: Path) -> None:
    for row, alsals in (("r1", 0.9), ("r2", 0.8), ("r3", 0.1)):
        write_run(tmp_path, row=row, scores=(0.0, 0.5), train_losses=(1, 0.4))
        write_run(
            tmp_path, row=row, optimizer="alsals", scores=(0.0, alsals), train_losses=(1, 0.1)
        )
    text = said(tmp_path)
    assert "Best mean final score: ALSALS in 2 of 3 rows, Adam in 1." in text
    assert "Lowest mean final training loss: ALSALS in 3 of 3 rows." in text
    assert "Adam's (which was not tuned here)" in text
    assert "ALSALS 0.25." in text


def test_what_cannot_be_concluded_is_said(tmp_path: Path) -> None:
    for seed in range(5):
        write_run(tmp_path, row="cpu_mrpc_bert", seed=seed)
        write_run(tmp_path, row="cpu_mrpc_bert", optimizer="alsals", seed=seed)
    text = said(tmp_path)
    assert "5 seeds are too few: the smallest possible p is 0.0625." in text
    assert "MRPC · BERT (cpu) is a small twin of a row of the papers" in text


def test_cells_without_a_result_are_named(tmp_path: Path) -> None:
    cells = [{"row": "r", "label": x, "seeds": [0], "folders": [None]} for x in ("adam", "sgd")]
    write_run(tmp_path)
    write_plan(tmp_path, cells)
    assert "2 planned cells have no result yet: r with Adam, r with SGD." in said(tmp_path)


def test_versions_are_counted(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1)
    assert [[cell.text for cell in row] for row in versions_table(read_results(tmp_path)).rows] == [
        ["aaaaaaa", "2.14.1", "unknown", "a machine", "2"]
    ]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two rows, four optimizers, four seeds, tuning, and some that diverged or did not end."""
    root = tmp_path_factory.mktemp("some")
    draw = random.Random(0)
    for row in ("mrpc_bert", "cpu_mrpc_bert"):
        for optimizer in ("adam", "sgd", "alsals", "salsa"):
            for seed in range(4):
                write_run(
                    root,
                    row=row,
                    optimizer=optimizer,
                    seed=seed,
                    scores=(draw.random(), draw.random()),
                    train_losses=(1, draw.random()),
                    seconds_a_step=draw.random(),
                    status=draw.choice(["finished", "finished", "finished", "diverged", None]),
                )
        for lr in (0.1, 0.2):
            for seed in range(2):
                scores = (0.0, draw.random())
                write_run(
                    root, row=row, settings={"lr": lr}, seed=seed, scores=scores, hold_out=0.1
                )
    return read_results(root)


def everything(results: Results) -> list[object]:
    comparison = Comparison(results)
    points = tuning_points(comparison)
    return [
        summary(comparison),
        score_tables(comparison),
        loss_table(comparison),
        paired_tables(comparison),
        over_rows_table(comparison),
        step_cost_table(comparison),
        time_to_target_table(comparison),
        performance_profiles(comparison).to_dict("list"),
        grid_table(points),
        budget(comparison, points),
        published_tables(comparison),
        versions_table(results),
        not_finished_table(results),
        runs_csv(results),
    ]


@settings(max_examples=8, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_the_runs_changes_nothing(some: Results, order: random.Random) -> None:
    shuffled = order.sample(some.runs, len(some.runs))
    assert everything(replace(some, runs=tuple(shuffled))) == everything(some)


JUNK = (b"", b"\n", b"\x00", b"\xff", b'"', b"{", b"[]", b"null")


@settings(max_examples=25, deadline=None)
@given(choice=st.randoms(use_true_random=False))
def test_no_broken_file_stops_the_report(
    tmp_path_factory: pytest.TempPathFactory, choice: random.Random
) -> None:
    root = tmp_path_factory.mktemp("broken")
    for optimizer in ("adam", "alsals"):
        write_run(root, optimizer=optimizer)
    write_run(root, hold_out=0.1)
    path = choice.choice(sorted(p for p in root.rglob("*") if p.is_file()))
    whole = path.read_bytes()
    at = int(choice.random() * len(whole))
    rest = choice.choice([b"", whole[at:], whole[at + 1 :]])
    path.write_bytes(whole[:at] + choice.choice(JUNK) + rest)
    everything(read_results(root))
