"""The published numbers: what the file says, and ours beside them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.report.numbers.cells import Comparison
from experiments.report.numbers.published import find, load, over_rows_table, published_tables
from experiments.report.read.runs import read_results
from experiments.report.write.document import Table
from tests.experiments.report.folders import write_run


def tables(root: Path) -> dict[str, Table]:
    return {t.key: t for t in published_tables(Comparison(read_results(root)))}


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def ranks(losses: dict[str, float]) -> dict[str, int]:
    """1 for the lowest; the published losses have no ties."""
    return {name: i for i, name in enumerate(sorted(losses, key=lambda n: losses[n]), start=1)}


def test_the_published_means_follow_from_the_losses_and_three_ranks_do_not() -> None:
    losses = list(load()["final_training_loss"]["salsa_losses"].values())
    over = load()["over_rows"]
    assert len(losses) == 8
    for optimizer, published in over["geometric_mean"].items():
        log_mean = sum(math.log(row[optimizer]) for row in losses) / 8
        assert math.exp(log_mean) == pytest.approx(published, rel=0.005), optimizer
    recomputed = {o: sum(ranks(row)[o] for row in losses) / 8 for o in over["average_rank"]}
    wrong = {o: rank for o, rank in recomputed.items() if rank != over["average_rank"][o]}
    assert wrong == over["rank_from_the_losses"] == {"sgd": 4.875, "sls": 5.375, "salsa_sgd": 3.625}


def test_every_row_and_twin_is_an_experiment_and_every_source_is_known() -> None:
    published = load()
    known = set(available(CONFIG_ROOT, "experiment"))
    for quantity in ("final_training_loss", "final_score", "best_score"):
        assert set(published[quantity]) <= set(published["sources"])
        for rows in published[quantity].values():
            assert set(rows) <= known
    twins = published["twins"]
    assert set(twins) | set(twins.values()) <= known


def test_numbers_are_found_with_their_source() -> None:
    paper = "SaLSa (arXiv 2407.20650, IJCNN 2024); plot, ±0.002"
    assert find("final_score", "mnli_bert", "adam_sls") == (0.835, paper)
    assert find("best_score", "mnli_bert", "adam_sls") == (0.8445, paper)
    assert find("best_score", "mnli_bert", "adam") == (0.834, paper)
    assert find("final_score", "mnli_bert", "alsals") is None


def test_ours_published_and_difference(tmp_path: Path) -> None:
    write_run(tmp_path, scores=(0.85, 0.85), train_losses=(1, 0.02312), seed=0)
    write_run(tmp_path, scores=(0.83, 0.83), train_losses=(1, 0.02312), seed=1)
    write_run(tmp_path, optimizer="alsals")
    found = tables(tmp_path)
    paper = "SaLSa (arXiv 2407.20650, IJCNN 2024)"
    # MRPC with Adam: published 0.828 and 0.01312.
    assert texts(found["published-final-score"]) == [
        ["MRPC · BERT", "Adam", "0.8400 ± 0.014", "0.828", "+0.0120", f"{paper}; plot, ±0.002"]
    ]
    assert texts(found["published-final-training-loss"]) == [
        ["MRPC · BERT", "Adam", "0.02312 ± 0", "0.01312", "+0.01", f"{paper}; table"]
    ]


def test_salsa_is_told_apart_by_its_direction(tmp_path: Path) -> None:
    write_run(tmp_path, optimizer="salsa", settings={"direction": None})
    write_run(tmp_path, optimizer="salsa_sgd", kind="salsa", settings={"direction": "sgd"})
    rows = texts(tables(tmp_path)["published-final-training-loss"])
    assert {row[1]: row[3] for row in rows} == {"SaLSa": "0.003126", "SGD-SaLSa": "0.03862"}


def test_an_optimizer_that_no_paper_has_stands_in_no_table_of_theirs(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_run(tmp_path, optimizer="algoperf_schedulefree", kind="schedulefree_adamw")
    assert [row[1] for row in texts(tables(tmp_path)["published-final-training-loss"])] == ["Adam"]


def test_twins_stand_side_by_side_with_a_warning_and_without_a_difference(tmp_path: Path) -> None:
    write_run(tmp_path, row="cpu_mrpc_bert", scores=(0.7, 0.71))
    table = tables(tmp_path)["twins-final-score"]
    assert table.caption.startswith("Another scale: not comparable.")
    assert texts(table)[0][:5] == ["MRPC · BERT (cpu)", "Adam", "0.7100", "MRPC · BERT", "0.828"]
    assert "difference" not in table.columns


def test_an_accuracy_is_not_compared_with_another_metric(tmp_path: Path) -> None:
    write_run(tmp_path, score="mcc")
    assert set(tables(tmp_path)) == {"published-final-training-loss"}


def test_the_published_ranks_carry_their_note() -> None:
    table = over_rows_table()
    assert "do not follow from the listed losses" in table.caption
    assert ["SGD", "0.093", "4.625", "4.875"] in texts(table)
