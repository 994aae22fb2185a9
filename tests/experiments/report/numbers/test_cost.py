"""What steps and results cost, by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.cost import (
    performance_profiles,
    step_cost_table,
    target,
    time_to_target_table,
    times_to_target,
)
from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_plan, write_run


def compare(root: Path) -> Comparison:
    return Comparison(read_results(root))


def test_a_step_relative_to_adam_is_a_ratio_of_medians(tmp_path: Path) -> None:
    for seed, seconds in enumerate((1.0, 2.0, 9.0)):
        write_run(tmp_path, seed=seed, seconds_a_step=seconds)
        write_run(
            tmp_path, optimizer="alsals", seed=seed, seconds_a_step=1.5 * seconds, forward_a_step=2
        )
    rows = [[cell.text for cell in row] for row in step_cost_table(compare(tmp_path)).rows]
    assert rows == [
        ["MRPC · BERT", "Adam", "2", "1.00", "1.00", "1.00", "1.00"],
        ["", "ALSALS", "3", "1.50", "2.00", "2.00", "1.00"],
    ]


@pytest.fixture
def to_target(tmp_path: Path) -> Comparison:
    """Adam ends at 0.7 and 0.8, so the target is 0.75. Two steps an epoch, half a second each."""
    write_run(tmp_path, seed=0, scores=(0.5, 0.6, 0.7))
    write_run(tmp_path, seed=1, scores=(0.5, 0.75, 0.8))
    # Reaches it at epoch 1, at epoch 2, never.
    write_run(tmp_path, optimizer="alsals", seed=0, scores=(0.75, 0.7, 0.7), forward_a_step=2)
    write_run(tmp_path, optimizer="alsals", seed=1, scores=(0.5, 0.9, 0.7), forward_a_step=2)
    write_run(tmp_path, optimizer="alsals", seed=2, scores=(0.5, 0.6, 0.7), forward_a_step=2)
    write_run(tmp_path, optimizer="sgd", seed=0, scores=(0.1, 0.2, 0.3))
    write_run(tmp_path, optimizer="sgd", seed=1, scores=(0.9, 0.9, 0.9), status=None)
    return compare(tmp_path)


def test_the_target_is_adams_mean(to_target: Comparison) -> None:
    assert target(to_target, "mrpc_bert") == pytest.approx(0.75)


def test_time_to_target_is_the_first_evaluation_at_or_beyond_it(to_target: Comparison) -> None:
    found = times_to_target(to_target).loc[("mrpc_bert", "alsals")]
    # Steps 2, 4 and never: the median is 4.
    medians = {"step": 4, "epoch": 2, "forward_passes": 8, "seconds": 2.0}
    assert found.to_dict() == {**medians, "runs": 3, "reached": 2}


def test_half_of_the_seeds_are_not_enough(to_target: Comparison) -> None:
    adam = times_to_target(to_target).loc[("mrpc_bert", "adam")]
    assert list(adam[["runs", "reached", "step"]]) == [2, 1, math.inf]


def test_the_table_says_who_never_gets_there(to_target: Comparison) -> None:
    table = time_to_target_table(to_target)
    found = {row[1].text: [cell.text for cell in row[2:]] for row in table.rows}
    assert found["ALSALS"] == ["2 of 3", "4", "2", "8", "2.0"]
    # The run of seed 1 is not finished, and its early 0.9 does not count.
    assert found["SGD"] == ["0 of 1", "not reached", "–", "–", "–"]
    assert table.rows[0][0].note == "target 0.75"


def test_a_loss_is_reached_from_above(tmp_path: Path) -> None:
    losses = {"score": "val_loss", "scores": (0, 0, 0)}
    write_run(tmp_path, **losses, val_losses=(3.0, 2.5, 2.0))
    write_run(tmp_path, optimizer="alsals", **losses, val_losses=(2.5, 2.0, 1.0))
    times = times_to_target(compare(tmp_path))
    assert times.loc[("mrpc_bert", "alsals"), "epoch"] == 2


def test_profiles_are_shares_of_rows_within_a_factor_of_the_fastest(tmp_path: Path) -> None:
    # Seconds to Adam's end: r1 adam 3, alsals 2; r2 adam 3, alsals never; r3 the same as r1.
    for row, alsals in (("r1", (0, 0.9, 0.9)), ("r2", (0, 0, 0)), ("r3", (0, 0.9, 0.9))):
        write_run(tmp_path, row=row, scores=(0, 0, 0.5))
        write_run(tmp_path, row=row, optimizer="alsals", scores=alsals)
    found = performance_profiles(compare(tmp_path))
    expected = pd.DataFrame(
        {
            "label": ["adam", "adam", "alsals", "alsals"],
            "tau": [1.0, 1.5, 1.0, 1.5],
            "share": [1 / 3, 1.0, 2 / 3, 2 / 3],
            "rows": [3, 3, 3, 3],
        }
    )
    pd.testing.assert_frame_equal(found, expected)


def test_the_shares_of_a_label_are_of_the_rows_that_it_was_planned_for(tmp_path: Path) -> None:
    cells = []
    for row, label, made in (
        *(("r1", "adam", True), ("r2", "adam", True), ("r3", "adam", True)),
        *(("r1", "alsals", True), ("r2", "alsals", False)),
    ):
        run = write_run(tmp_path, row=row, optimizer=label, scores=(0, 0, 0.5)) if made else None
        cells.append({"row": row, "label": label, "seeds": [0], "folders": [run]})
    write_plan(tmp_path, cells)
    found = performance_profiles(compare(tmp_path)).set_index("label")
    assert found.at["adam", "rows"] == 3
    assert found.at["alsals", "rows"] == 2
    assert found.at["alsals", "share"] == 0.5


def test_profiles_without_adam_are_empty(tmp_path: Path) -> None:
    write_run(tmp_path, optimizer="alsals")
    found = performance_profiles(compare(tmp_path))
    assert list(found.columns) == ["label", "tau", "share", "rows"]
    assert len(found) == 0
