"""Targets that a sweep fixed: shares, times and rules, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.report.build import compose
from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.targets import (
    arrived,
    common_rows,
    decision,
    decision_table,
    progress,
    rules,
    targets,
    targets_table,
)
from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_plan, write_run

NEVER = (0.1, 0.2, 0.3)


def cell(row: str, label: str, folders: list[Path], tuned: bool = False) -> dict[str, object]:
    seeds = list(range(len(folders)))
    return {"row": row, "label": label, "seeds": seeds, "folders": folders, "tuned": tuned}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two rows with the target 0.7, two seeds, evaluations at steps 2, 4 and 6; two rates tuned.

    In r1 Adam arrives at steps 4 and 6, PeakSLS at 2 and 2, SLS never; in r2 Adam arrives at 4 and
    4, PeakSLS at 2 with one seed only, and one run of SLS has diverged. PeakSLS and SLS take two
    forward passes a step.
    """
    ends = {
        ("r1", "adam"): [(0.1, 0.7, 0.8), (0.1, 0.2, 0.7)],
        ("r1", "peak_sls"): [(0.7, 0.7, 0.7), (0.9, 0.1, 0.1)],
        ("r1", "sls"): [NEVER, NEVER],
        ("r2", "adam"): [(0.1, 0.7, 0.8), (0.1, 0.7, 0.8)],
        ("r2", "peak_sls"): [(0.7, 0.8, 0.9), NEVER],
        ("r2", "sls"): [NEVER, NEVER],
    }
    cells = []
    for (row, label), scores in ends.items():
        lost = (row, label) == ("r2", "sls")
        folders = [
            write_run(
                tmp_path,
                row=row,
                optimizer=label,
                seed=seed,
                scores=score,
                forward_a_step=1 if label == "adam" else 2,
                status="diverged" if lost and seed == 1 else "finished",
            )
            for seed, score in enumerate(scores)
        ]
        cells.append(cell(row, label, folders, tuned=label == "adam"))
    tuning = []
    for row in ("r1", "r2"):
        for lr in (0.1, 0.2):
            tried = write_run(tmp_path, row=row, settings={"lr": lr}, scores=NEVER, hold_out=0.1)
            where = tried.relative_to(tmp_path).as_posix()
            tuning.append({"row": row, "label": "adam", "lr": lr, "folder": where})
    write_plan(tmp_path, cells, targets={"r1": 0.7, "r2": 0.7}, tuning=tuning)
    return tmp_path


def read(root: Path) -> Comparison:
    return Comparison(read_results(root))


def test_the_targets_are_the_plans(sweep: Path) -> None:
    assert targets(read(sweep)) == {"r1": 0.7, "r2": 0.7}


def test_without_targets_nobody_is_judged(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    write_plan(tmp_path, [cell("mrpc_bert", "adam", [run])])
    found = read(tmp_path)
    assert (targets(found), rules(found), len(arrived(found)), decision(found)) == ({}, {}, 0, ())


def test_rules_follow_from_grids_and_settings(sweep: Path) -> None:
    assert rules(read(sweep)) == {"adam": "tuned", "peak_sls": "self-tuning", "sls": "self-tuning"}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (({"c": 0.3}, {"c": 0.5}), "set by row"),
        (({"c": 0.3}, {"c": 0.3, "max_grad_norm": None}), "self-tuning"),  # new since the first run
    ],
)
def test_settings_that_differ_between_rows_were_set_by_somebody(
    tmp_path: Path, settings: tuple[dict[str, float | None], ...], rule: str
) -> None:
    runs = [
        write_run(tmp_path, row=row, optimizer="alsals", settings=of_row)
        for row, of_row in zip(("r1", "r2"), settings, strict=True)
    ]
    cells = [cell(row, "alsals", [run]) for row, run in zip(("r1", "r2"), runs, strict=True)]
    write_plan(tmp_path, cells, targets={"r1": 0.7, "r2": 0.7})
    assert rules(read(tmp_path)) == {"alsals": rule}


def test_columns_of_a_sweep_without_targets_are_not_judged(sweep: Path) -> None:
    run = write_run(sweep, row="r1", optimizer="salsa", scores=(0.9, 0.9, 0.9))
    write_plan(sweep, [cell("r1", "salsa", [run])], sweep="other")
    assert "salsa" not in rules(read(sweep))
    assert "salsa" not in set(arrived(read(sweep))["label"])


def test_a_run_arrives_at_its_first_evaluation_that_is_as_good(sweep: Path) -> None:
    found = arrived(read(sweep)).groupby(["row", "label"])["step"].agg(list)
    never = float("inf")
    assert found[("r1", "adam")] == [4, 6]
    assert found[("r1", "peak_sls")] == [2, 2]
    assert found[("r2", "peak_sls")] == [2, never]
    assert found[("r2", "sls")] == [never, never]


def test_the_decision_names_the_best_of_each_rule(sweep: Path) -> None:
    assert decision(read(sweep)) == (
        "With nothing set, PeakSLS most often reaches the target of a row: in 3 of 4 runs over "
        "2 rows.",
        "Tuned by a grid (2 runs a row), Adam most often reaches the target of a row: in 4 of 4 "
        "runs over 2 rows.",
    )


def test_the_decision_is_over_rows_in_which_everybody_has_ended(sweep: Path) -> None:
    run = write_run(sweep, row="r3", scores=(0.9, 0.9, 0.9))
    waiting = {"row": "r3", "label": "peak_sls", "seeds": [0], "folders": [None]}
    write_plan(sweep, [cell("r3", "adam", [run]), waiting], sweep="u", targets={"r3": 0.7})
    assert common_rows(read(sweep)) == ["r1", "r2"]


def test_costs_are_multiples_of_the_tuned_baseline(sweep: Path) -> None:
    table = decision_table(read(sweep))
    found = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    # Medians in r1: Adam 5 steps, PeakSLS 2 steps and 4 passes; r2 is not reached by half of its
    # runs but one, so it counts for neither. Adam's grid: 12 passes a row, on 5 and 4 of its own.
    assert found["PeakSLS"][3:] == ["50%", "0.40", "0.80", "0.40", "0.80"]
    assert found["SLS"] == ["self-tuning", "none", "0 of 4", "0%", "–", "–", "–", "–"]
    with_grid = ((17 / 5) * (16 / 4)) ** 0.5
    assert found["Adam"][3:] == ["100%", "1.00", "1.00", "1.00", f"{with_grid:.2f}"]
    assert table.rows[0][5].note == "1 of 2 rows"


def test_the_best_share_is_bold(sweep: Path) -> None:
    bold = {row[0].text: row[3].bold for row in decision_table(read(sweep)).rows}
    assert bold == {"PeakSLS": False, "SLS": False, "Adam": True}


def test_each_row_has_its_shares_and_times(sweep: Path) -> None:
    table = targets_table(read(sweep))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["r1", "Adam", "tuned", "2 of 2", "5", "5", "2.5"],
        ["", "PeakSLS", "self-tuning", "2 of 2", "2", "4", "1.0"],
        ["", "SLS", "self-tuning", "0 of 2", "not reached", "–", "–"],
        ["r2", "Adam", "tuned", "2 of 2", "4", "4", "2.0"],
        ["", "PeakSLS", "self-tuning", "1 of 2", "not reached", "–", "–"],
        ["", "SLS", "self-tuning", "0 of 2", "not reached", "–", "–"],
    ]
    assert table.rows[0][0].note == "target at least 0.7"


def test_progress_is_relative_to_the_steps_of_a_row(sweep: Path) -> None:
    found = progress(read(sweep))
    steps = found[found["unit"] == "steps"]
    adam = steps[steps["label"] == "adam"]
    # Rows have six steps; Adam arrives after 4, 4, 4 and 6.
    assert adam["spent"].tolist() == pytest.approx([0, 4 / 6, 4 / 6, 4 / 6, 1])
    assert adam["share"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert steps.loc[steps["label"] == "sls", "share"].tolist() == [0]
    passes = found[(found["unit"] == "forward passes") & (found["label"] == "peak_sls")]
    assert passes["spent"].tolist() == pytest.approx([0, 4 / 6, 4 / 6, 4 / 6])


def test_a_report_with_targets_leads_with_the_decision(sweep: Path) -> None:
    document = compose(read_results(sweep))
    first = document.sections[0]
    assert document.summary[0].startswith("With nothing set, PeakSLS")
    assert first.title == "Which optimizer?"
    assert [figure.key for figure in first.figures] == ["targets"]
    assert [table.key for table in first.tables] == ["decision"]


def test_before_every_optimizer_has_ended_somewhere_nothing_is_decided(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    waiting = {"row": "mrpc_bert", "label": "sls", "seeds": [0], "folders": [None]}
    cells = [cell("mrpc_bert", "adam", [run]), waiting]
    write_plan(tmp_path, cells, targets={"mrpc_bert": 0.7})
    first = compose(read_results(tmp_path)).sections[0]
    assert first.paragraphs[0].startswith("No row has a result of every optimizer yet")
    assert (first.figures, first.tables) == ((), ())
