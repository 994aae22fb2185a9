"""The tuning grid, its winners and its budget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from experiments.report.reading import read_results
from experiments.report.tuning import budget, duration, grid, grid_table, sensitivity
from tests.experiments.report.folders import write_run


def tune(root: Path, lr: float, end: float, **more: Any) -> None:
    write_run(root, settings={"lr": lr}, scores=(0.0, end), hold_out=0.1, **more)


def winners(root: Path) -> list[float]:
    return [point.lr for point in grid(read_results(root)) if point.winner]


def test_the_best_score_wins(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5)
    tune(tmp_path, 0.3, 0.7)
    tune(tmp_path, 1.0, 0.6)
    assert winners(tmp_path) == [0.3]


def test_seeds_are_averaged(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.9, seed=0)
    tune(tmp_path, 0.1, 0.3, seed=1)
    tune(tmp_path, 0.3, 0.7, seed=0)
    tune(tmp_path, 0.3, 0.6, seed=1)
    assert winners(tmp_path) == [0.3]


def test_the_lowest_wins_where_the_score_is_a_loss(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.0, score="val_loss", val_losses=(3.0, 2.0))
    tune(tmp_path, 0.3, 0.0, score="val_loss", val_losses=(3.0, 2.5))
    assert winners(tmp_path) == [0.1]


def test_ties_go_to_the_lower_loss_then_to_the_lower_rate(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.7, val_losses=(1.0, 0.4))
    tune(tmp_path, 0.3, 0.7, val_losses=(1.0, 0.3))
    tune(tmp_path, 1.0, 0.7, val_losses=(1.0, 0.3))
    assert winners(tmp_path) == [0.3]


def test_what_diverged_or_has_not_ended_does_not_win(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5)
    tune(tmp_path, 0.3, 0.9, status="diverged")
    tune(tmp_path, 1.0, 0.9, seed=0)
    tune(tmp_path, 1.0, 0.9, seed=1, status=None)
    assert winners(tmp_path) == [0.1]


def test_line_searches_are_a_reference_and_win_nothing(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5)
    write_run(tmp_path, optimizer="alsals", scores=(0.0, 0.9), hold_out=0.1)
    frame = sensitivity(read_results(tmp_path))
    assert list(frame["label"]) == ["adam", "alsals"]
    assert math.isnan(frame["lr"][1])
    assert list(frame["winner"]) == [True, False]


def test_the_data_of_the_picture(tmp_path: Path) -> None:
    tune(tmp_path, 0.3, 0.75, train_losses=(1, 0.25))
    tune(tmp_path, 0.1, 0.5, status="diverged")
    [diverged, point] = sensitivity(read_results(tmp_path)).to_dict("records")
    assert point == {
        "row": "mrpc_bert",
        "label": "adam",
        "lr": 0.3,
        "score": 0.75,
        "score_name": "accuracy",
        "score_is_loss": False,
        "train_loss": 0.25,
        "val_loss": 0.25,
        "decider": "score",
        "hold_out": 0.1,
        "winner": True,
        "diverged": False,
    }
    assert diverged["lr"] == 0.1
    assert math.isnan(diverged["score"])
    assert diverged["diverged"]


def test_the_grid_shows_every_rate(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5)
    tune(tmp_path, 0.3, 0.75)
    tune(tmp_path, 1.0, 0.0, status="diverged")
    table = grid_table(read_results(tmp_path))
    shown = [(row[2].text, row[4].text, row[4].bold, row[3].note) for row in table.rows]
    assert shown == [
        ("0.1", "0.5000", False, ""),
        ("0.3", "0.7500", True, ""),
        ("1", "diverged", False, "1 diverged"),
    ]


def test_the_budget_is_written_down(tmp_path: Path) -> None:
    # Two epochs are 4 steps of half a minute each.
    tune(tmp_path, 0.1, 0.5, seconds_a_step=30)
    tune(tmp_path, 0.3, 0.5, seconds_a_step=30)
    write_run(tmp_path, optimizer="alsals")
    assert budget(read_results(tmp_path)) == (
        "Tuning Adam took 2 runs, 8 steps and 4 minutes of training.",
        "The line searches (ALSALS) were not tuned: 0 runs.",
    )


def test_no_tuning_is_told(tmp_path: Path) -> None:
    write_run(tmp_path)
    [sentence] = budget(read_results(tmp_path))
    assert "no optimizer's rate was tuned" in sentence


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90 seconds"), (600, "10 minutes"), (9000, "2.5 hours")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
