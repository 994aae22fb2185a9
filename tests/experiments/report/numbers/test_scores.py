"""The papers' tables, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.report.numbers.cells import Comparison, spread_text
from experiments.report.numbers.scores import loss_table, score_tables
from experiments.report.read.runs import read_results
from experiments.report.write.document import Cell, Table
from tests.experiments.report.folders import write_plan, write_run


def compare(root: Path) -> Comparison:
    return Comparison(read_results(root))


def find(table: Table, row: str, column: str) -> Cell:
    [found] = [cells for cells in table.rows if cells[0].text == row]
    return found[table.columns.index(column)]


@pytest.fixture
def three_seeds(tmp_path: Path) -> Comparison:
    """adam 0.6, 0.7, 0.8: mean 0.7, deviation 0.1; alsals 0.9 thrice, best 0.95 in the middle."""
    for seed, score in enumerate((0.6, 0.7, 0.8)):
        write_run(tmp_path, seed=seed, scores=(0.5, score), train_losses=(1, 0.5))
        write_run(
            tmp_path, optimizer="alsals", seed=seed, scores=(0.95, 0.9), train_losses=(1, 0.125)
        )
    return compare(tmp_path)


def test_mean_deviation_and_the_best_in_bold(three_seeds: Comparison) -> None:
    final, best = score_tables(three_seeds)
    assert final.title == "Final accuracy"
    assert find(final, "MRPC · BERT", "Adam") == Cell("0.7000 ± 0.10")
    assert find(final, "MRPC · BERT", "ALSALS") == Cell("0.9000 ± 0", bold=True)
    assert find(best, "MRPC · BERT", "ALSALS") == Cell("0.9500 ± 0", bold=True)
    assert "over 3 seeds" in final.caption


def test_the_lowest_loss_is_bold(three_seeds: Comparison) -> None:
    table = loss_table(three_seeds)
    assert find(table, "MRPC · BERT", "ALSALS") == Cell("0.125 ± 0", bold=True)
    assert find(table, "MRPC · BERT", "Adam") == Cell("0.5 ± 0")


def test_geometric_mean_and_rank_over_the_rows_that_all_have(tmp_path: Path) -> None:
    # Geometric means over r1 and r2: adam √(0.1 · 0.4) = 0.2, sgd √(0.2 · 0.2) = 0.2,
    # alsals √(0.05 · 0.8) = 0.2. Ranks: adam 2 and 2, sgd 3 and 1, alsals 1 and 3.
    losses = {
        "r1": {"adam": 0.1, "sgd": 0.2, "alsals": 0.05},
        "r2": {"adam": 0.4, "sgd": 0.2, "alsals": 0.8},
        "r3": {"adam": 0.001},
    }
    for row, of_row in losses.items():
        for optimizer, loss in of_row.items():
            write_run(tmp_path, row=row, optimizer=optimizer, train_losses=(1, loss))
    table = loss_table(compare(tmp_path))
    for label in ("Adam", "SGD", "ALSALS"):
        assert find(table, "geometric mean", label).text == "0.2"
        assert find(table, "average rank", label).text == "2"
    assert "every optimizer shown there has: r1, r2." in table.caption
    assert find(table, "geometric mean", "").note == "2 rows"


def test_without_a_common_row_there_is_no_mean_over_rows(tmp_path: Path) -> None:
    write_run(tmp_path, row="r1", optimizer="adam")
    write_run(tmp_path, row="r2", optimizer="sgd")
    table = loss_table(compare(tmp_path))
    assert [cells[0].text for cells in table.rows] == ["r1", "r2"]
    assert "No row has a result of every optimizer" in table.caption


def test_missing_fewer_and_diverged_are_shown(tmp_path: Path) -> None:
    two = [write_run(tmp_path, seed=seed, scores=(0.5, 0.75)) for seed in (0, 1)]
    one = write_run(tmp_path, optimizer="sgd", scores=(0.5, 0.25))
    bad = write_run(tmp_path, optimizer="sgd", seed=1, scores=(0.5, 0.99), status="diverged")
    lost = write_run(tmp_path, optimizer="salsa", status="diverged")
    late = write_run(tmp_path, optimizer="sls", status=None)
    seeds = {"seeds": [0, 1, 2, 3, 4]}
    nothing = [None] * 3
    cells = {
        "adam": [*two, *nothing],
        "sgd": [one, bad, *nothing],
        "salsa": [lost, None, *nothing],
        "sls": [late, None, *nothing],
        "alsals": [None, None, *nothing],
    }
    write_plan(
        tmp_path,
        [{"row": "mrpc_bert", "label": k, "folders": v, **seeds} for k, v in cells.items()],
    )
    table = score_tables(compare(tmp_path))[0]
    assert table.columns == ("", "Adam", "SGD", "SaLSa", "SLS", "ALSALS")
    assert table.rows[0][1:] == (
        Cell("0.7500 ± 0", bold=True, note="2 of 5 seeds"),
        Cell("0.2500", note="1 of 5 seeds, 1 diverged"),
        Cell("diverged", note="1 diverged"),
        Cell("missing"),
        Cell("missing"),
    )
    assert "left out of the mean" in table.caption


def test_a_score_that_is_no_accuracy_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, row="cola", score="mcc")
    write_run(tmp_path, row="gpt", score="val_loss", val_losses=(3.0, 2.5))
    write_run(tmp_path, row="gpt", optimizer="sgd", score="val_loss", val_losses=(3.0, 3.5))
    table = score_tables(compare(tmp_path))[0]
    assert table.title == "Final score"
    assert find(table, "cola", "").note == "Matthews correlation"
    assert find(table, "gpt", "").note == "validation loss, lower is better"
    assert find(table, "gpt", "Adam") == Cell("2.5", bold=True)
    assert find(table, "cola", "SGD").text == "–"


def test_perplexity_has_its_table(tmp_path: Path) -> None:
    write_run(tmp_path, row="gpt", score="perplexity", scores=(30.0, 20.0), val_losses=(3.4, 3.0))
    write_run(tmp_path, row="mrpc_bert")
    tables = {table.key: table for table in score_tables(compare(tmp_path))}
    assert [cells[0].text for cells in tables["perplexity"].rows] == ["gpt"]
    assert find(tables["perplexity"], "gpt", "Adam").text == "20"


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        ("0.8340", 0.00123, "0.0012"),
        ("2.86", 0.00314, "0.0031"),
        ("1.234e-05", 1.26e-06, "1.3e-06"),
        ("12", 0.5, "0.5"),
        ("0.5", 0.0, "0"),
        ("310.2", 123.0, "123"),
        ("0.5832", 0.01834, "0.018"),
    ],
)
def test_a_spread_is_never_rounded_to_nothing(mean: str, deviation: float, text: str) -> None:
    assert spread_text(mean, deviation) == text
