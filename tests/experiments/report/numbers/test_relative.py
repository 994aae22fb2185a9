"""Validation losses relative to the tuned baseline, against ratios worked out by hand."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments.report.build import compose
from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.relative import relative_tables
from experiments.report.read.runs import read_results
from experiments.report.write.csv import runs_csv
from experiments.report.write.document import Cell, Table
from experiments.report.write.render import to_latex
from tests.experiments.report.folders import write_plan, write_run

Losses = dict[str, dict[str, Sequence[float | None]]]
"""Row → label → a loss a seed; None: it diverged."""

LABELS = ("alsals", "adam", "sgd")


def write(root: Path, losses: Losses, tuned: Sequence[str] = ("adam",), **more: Any) -> None:
    """Runs with these final validation losses, and a plan in which `tuned` columns were tuned."""
    cells = []
    for row, of_row in losses.items():
        for label in sorted(of_row, key=LABELS.index):
            folders = [
                write_run(
                    root,
                    row=row,
                    optimizer=label,
                    seed=seed,
                    val_losses=(9.0, 9.0 if loss is None else loss),
                    status="diverged" if loss is None else "finished",
                )
                for seed, loss in enumerate(of_row[label])
            ]
            seeds = list(range(len(folders)))
            cell = {"row": row, "label": label, "seeds": seeds, "folders": folders}
            cells.append({**cell, "tuned": label in tuned})
    write_plan(root, cells, **more)


def comparison(root: Path) -> Comparison:
    return Comparison(read_results(root))


def table_of(root: Path) -> Table:
    [table] = relative_tables(comparison(root))
    return table


def cells_of(table: Table, name: str) -> dict[str, Cell]:
    [found] = [cells for cells in table.rows if cells[0].text == name]
    return dict(zip(table.columns, found, strict=True))


def test_a_cell_is_the_mean_loss_over_that_of_the_tuned_column(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0, 3.0), "alsals": (1.0, 2.0)}})
    cells = cells_of(table_of(tmp_path), "a")
    # Resamples of the pairs (1, 1) and (2, 3) have ratios 1, 3/4 twice, 2/3.
    assert cells["ALSALS"] == Cell("0.75", bold=True, note="0.6667 to 1")
    assert cells["Adam"] == Cell("1")


def test_without_a_tuned_column_there_is_no_table(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0,), "alsals": (1.0,)}}, tuned=())
    assert relative_tables(comparison(tmp_path)) == ()


def test_the_first_tuned_column_of_the_sweep_is_the_baseline(tmp_path: Path) -> None:
    losses: Losses = {"a": {"adam": (2.0,), "sgd": (1.0,)}}
    write(tmp_path, losses, tuned=("sgd", "adam"))
    assert "over that of Adam, the first column" in table_of(tmp_path).caption
    assert cells_of(table_of(tmp_path), "a")["SGD"].text == "0.5"


def test_a_row_without_a_tuned_column_is_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0,), "sgd": (1.0,)}, "b": {"sgd": (1.0,)}})
    table = table_of(tmp_path)
    assert [row[0].text for row in table.rows] == ["a", "geometric mean", "worst row"]
    assert "left out: b." in table.caption


def test_the_last_rows_are_over_the_rows_that_an_optimizer_has(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a": {"adam": (1.0,), "alsals": (0.5,), "sgd": (3.0,)},
            "b": {"adam": (2.0,), "alsals": (4.0,)},
        },
    )
    table = table_of(tmp_path)
    mean, worst = cells_of(table, "geometric mean"), cells_of(table, "worst row")
    assert (mean["ALSALS"], mean["SGD"]) == (Cell("1", bold=True), Cell("3", note="1 of 2 rows"))
    assert (worst["ALSALS"], worst["SGD"]) == (Cell("2", note="b"), Cell("3", note="a"))


def test_a_run_that_diverged_is_told_and_takes_the_mean_over_rows_away(tmp_path: Path) -> None:
    losses: Losses = {
        "a": {"adam": (1.0, 1.0), "alsals": (0.5, None), "sgd": (None, None)},
        "b": {"adam": (1.0, 1.0), "alsals": (0.5, 0.5), "sgd": (2.0, 2.0)},
    }
    write(tmp_path, losses)
    table = table_of(tmp_path)
    row, mean = cells_of(table, "a"), cells_of(table, "geometric mean")
    assert row["ALSALS"] == Cell("0.5", note="1 of 2 seeds, 1 diverged")
    assert row["SGD"] == Cell("diverged", note="2 diverged")
    assert mean["ALSALS"] == mean["SGD"] == Cell("diverged", note="in 1 of 2 rows")
    assert cells_of(table, "worst row")["SGD"] == Cell("diverged")


def test_a_run_that_was_stuck_is_told_as_such(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0,), "sgd": (2.0,)}})
    (summary,) = tmp_path.glob("*/*/sgd/*/summary.json")
    summary.write_text(summary.read_text().replace('"finished"', '"stuck"'))
    table = table_of(tmp_path)
    assert cells_of(table, "a")["SGD"] == Cell("stuck", note="1 stuck")
    assert cells_of(table, "geometric mean")["SGD"] == Cell("stuck", note="in 1 of 1 rows")


def test_where_the_baseline_diverged_there_is_no_ratio(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a": {"adam": (None,), "sgd": (1.0,)}, "b": {"adam": (1.0,), "sgd": (2.0,)}},
    )
    table = table_of(tmp_path)
    assert cells_of(table, "a")[""].note == "1 of Adam diverged"
    assert cells_of(table, "a")["SGD"] == Cell("–")
    assert cells_of(table, "geometric mean")["SGD"] == Cell("2", note="1 of 2 rows")
    assert cells_of(table, "geometric mean")["Adam"].text == "diverged"


def test_what_has_no_run_yet_is_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path, row="a")
    cell = {"row": "a", "seeds": [0]}
    cells = [
        {**cell, "label": "adam", "folders": [folder], "tuned": True},
        {**cell, "label": "sgd", "folders": [None]},
    ]
    write_plan(tmp_path, cells)
    table = table_of(tmp_path)
    assert cells_of(table, "a")["SGD"] == Cell("missing")
    assert cells_of(table, "geometric mean")["SGD"] == Cell("missing", note="0 of 1 rows")


def test_the_interval_is_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0, 2.0), "alsals": (2.0, 4.0, 300.0)}})
    # 102 / 1.5 with all three seeds; in both pairs the ratio is 2.
    assert cells_of(table_of(tmp_path), "a")["ALSALS"].text == "68"
    assert cells_of(table_of(tmp_path), "a")["ALSALS"].note.startswith("2 to 2")


def test_many_seeds_have_an_interval_around_the_ratio(tmp_path: Path) -> None:
    theirs = [1.0 + 0.01 * (seed % 5) for seed in range(12)]
    ours = [0.5 * loss + 0.01 * (seed % 3) for seed, loss in enumerate(theirs)]
    write(tmp_path, {"a": {"adam": theirs, "alsals": ours}})
    cell = cells_of(table_of(tmp_path), "a")["ALSALS"]
    low, high = map(float, cell.note.split(",")[0].split(" to "))
    assert 0.5 < low < float(cell.text) < high < 0.52


def test_the_caption_says_how_the_baselines_rate_was_chosen(tmp_path: Path) -> None:
    tried = write_run(tmp_path, row="a", folder="tuning").relative_to(tmp_path).as_posix()
    write(
        tmp_path,
        {"a": {"adam": (1.0,), "sgd": (1.0,)}},
        tuning=[{"row": "a", "label": "adam", "folder": tried}],
        tuned_by={"score": "val_loss", "hold_out": None},
    )
    caption = table_of(tmp_path).caption
    assert "over that of Adam" in caption
    assert "on the validation split itself" in caption
    assert "lowest mean final validation loss" in caption


def test_the_table_follows_from_runs_csv(tmp_path: Path) -> None:
    losses: Losses = {
        "a": {"adam": (1.0, 3.0), "sgd": (2.0, 3.5)},
        "b": {"adam": (2.0, 2.0), "sgd": (1.0, 2.0)},
    }
    write(tmp_path, losses)
    results = read_results(tmp_path)
    lines = list(csv.DictReader(io.StringIO(runs_csv(results))))

    def mean(row: str, label: str) -> float:
        found = [
            float(x["final.val_loss"]) for x in lines if (x["row"], x["label"]) == (row, label)
        ]
        return sum(found) / len(found)

    by_hand = math.sqrt(math.prod(mean(row, "sgd") / mean(row, "adam") for row in losses))
    shown = cells_of(table_of(tmp_path), "geometric mean")["SGD"].text
    assert float(shown) == pytest.approx(by_hand, rel=5e-4)


def test_the_report_has_the_table(tmp_path: Path) -> None:
    write(tmp_path, {"a": {"adam": (1.0, 3.0), "alsals": (1.0, 2.0)}})
    assert "relative to the tuned baseline" in to_latex(compose(read_results(tmp_path)))
