"""The tuning grid, its winners and its budget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.tuning_grid import budget, duration, grid_table, tuning_points
from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_plan, write_run


def tune(root: Path, lr: float, end: float, **more: Any) -> Path:
    given = {"hold_out": 0.1} | more
    return write_run(root, settings={"lr": lr}, scores=(0.0, end), **given)


def plan(root: Path, *folders: Path, score: str, **more: Any) -> None:
    """A plan of tuning runs of adam that lie in `folders`, whose rates `score` decides."""
    entry = {"row": "mrpc_bert", "label": "adam", **more}
    tuning = [{**entry, "folder": folder.relative_to(root).as_posix()} for folder in folders]
    write_plan(root, [], tuning=tuning, tuned_by={"score": score, "hold_out": None})


def points(root: Path) -> pd.DataFrame:
    return tuning_points(Comparison(read_results(root)))


def winners(root: Path) -> list[float]:
    found = points(root)
    return list(found.loc[found["winner"], "lr"])


def budget_of(root: Path) -> tuple[str, ...]:
    return budget(Comparison(read_results(root)), points(root))


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


def test_the_lowest_loss_wins_where_the_plan_says_so(tmp_path: Path) -> None:
    accurate = tune(tmp_path, 0.1, 0.9, val_losses=(3.0, 2.5))
    low = tune(tmp_path, 0.3, 0.1, val_losses=(3.0, 2.0))
    plan(tmp_path, accurate, low, score="val_loss")
    assert winners(tmp_path) == [0.3]
    numbers = points(tmp_path)
    assert list(numbers["number"]) == [2.5, 2.0]
    assert set(numbers["number_name"]) == {"val_loss"}
    assert numbers["lower_is_better"].all()


def test_a_reference_with_a_rate_of_its_own_wins_nothing(tmp_path: Path) -> None:
    folder = tune(tmp_path, 0.1, 0.9)
    plan(tmp_path, folder, score="score", reference=True)
    [point] = points(tmp_path).to_dict("records")
    assert math.isnan(point["lr"])
    assert not point["winner"]


@pytest.mark.parametrize(
    ("hold_out", "score", "said", "column"),
    [
        (0.2, "score", ("on 0.2 of the training examples", "best mean final score"), "held-out"),
        (None, "val_loss", ("on the validation split itself", "lowest mean final val"), "validat"),
    ],
)
def test_the_grid_says_on_what_and_by_what_rates_were_chosen(
    tmp_path: Path, hold_out: float | None, score: str, said: tuple[str, str], column: str
) -> None:
    folder = tune(tmp_path, 0.1, 0.5, hold_out=hold_out, folder="tuning")
    plan(tmp_path, folder, score=score)
    table = grid_table(points(tmp_path))
    assert all(words in table.caption for words in said)
    assert table.columns[-1].startswith(column)


def test_rows_whose_rates_were_chosen_otherwise_are_named(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5, row="a", hold_out=0.1)
    tune(tmp_path, 0.1, 0.5, row="b", hold_out=0.2)
    caption = grid_table(points(tmp_path)).caption
    assert "a: Rates were tried on 0.1 of" in caption
    assert "b: Rates were tried on 0.2 of" in caption


def test_sweeps_that_choose_a_rows_rates_by_other_numbers_are_told(tmp_path: Path) -> None:
    folder = tune(tmp_path, 0.1, 0.5)
    runs = [
        {"row": "mrpc_bert", "label": "adam", "folder": folder.relative_to(tmp_path).as_posix()}
    ]
    for sweep, score in (("a", "score"), ("b", "val_loss")):
        tuned_by = {"score": score, "hold_out": 0.1}
        write_plan(tmp_path, [], sweep=sweep, tuning=runs, tuned_by=tuned_by)
    assert "Sweep b chooses the rates of MRPC · BERT by another number" in " ".join(
        read_results(tmp_path).warnings
    )


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
    frame = points(tmp_path)
    assert list(frame["label"]) == ["adam", "alsals"]
    assert math.isnan(frame["lr"][1])
    assert list(frame["winner"]) == [True, False]


def test_the_data_of_the_figure(tmp_path: Path) -> None:
    tune(tmp_path, 0.3, 0.75, train_losses=(1, 0.25))
    tune(tmp_path, 0.1, 0.5, status="diverged")
    [diverged, point] = points(tmp_path).to_dict("records")
    expected = {
        "row": "mrpc_bert",
        "label": "adam",
        "lr": 0.3,
        "number": 0.75,
        "number_name": "accuracy",
        "lower_is_better": False,
        "hold_out": 0.1,
        "winner": True,
        "diverged": False,
    }
    assert {key: point[key] for key in expected} == expected
    assert diverged["lr"] == 0.1
    assert math.isnan(diverged["number"])
    assert diverged["diverged"]


def test_the_grid_shows_every_rate(tmp_path: Path) -> None:
    tune(tmp_path, 0.1, 0.5)
    tune(tmp_path, 0.3, 0.75)
    tune(tmp_path, 1.0, 0.0, status="diverged")
    table = grid_table(points(tmp_path))
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
    assert budget_of(tmp_path) == (
        "Tuning Adam took 2 runs, 8 steps and 4 minutes of training.",
        "The line searches (ALSALS) were not tuned: 0 runs.",
    )


def test_no_tuning_is_told(tmp_path: Path) -> None:
    write_run(tmp_path)
    [sentence] = budget_of(tmp_path)
    assert "no optimizer's rate was tuned" in sentence


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90 seconds"), (600, "10 minutes"), (9000, "2.5 hours")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
