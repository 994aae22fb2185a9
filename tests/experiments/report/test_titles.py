"""Names of files as people write them."""

from __future__ import annotations

import pytest

from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.report.titles import label_title, row_title, score_title


@pytest.mark.parametrize(
    ("row", "title"),
    [
        ("cpu_mrpc_bert", "MRPC · BERT (cpu)"),
        ("cifar10_resnet34", "CIFAR-10 · ResNet-34"),
        ("qnli_small_bert", "QNLI (500 examples) · BERT"),
        ("digits-mlp", "Digits + MLP"),
        ("smoke", "smoke"),
        ("cpu", "cpu"),
        ("", ""),
        ("my_own_rows_bert", "my_own_rows_bert"),
        ("mrpc_unheard", "mrpc_unheard"),
    ],
)
def test_rows(row, title):
    assert row_title(row) == title


def test_every_row_of_the_papers_has_a_title():
    rows = [name for name in available(CONFIG_ROOT, "experiment") if name != "smoke"]
    assert [row for row in rows if row_title(row) == row] == []


def test_every_optimizer_has_a_name_of_its_own():
    names = available(CONFIG_ROOT, "optimizer")
    assert len({label_title(name) for name in names}) == len(names)
    assert [name for name in names if label_title(name) == name] == []


def test_what_tells_labels_of_one_optimizer_apart_stays():
    assert label_title("adam lr=3e-4") == "Adam lr=3e-4"
    assert label_title("sls_paper (text)") == "SLS (paper) (text)"


def test_a_row_of_no_experiment_is_not_taken_for_the_experiment():
    assert row_title("digits-mlp") != row_title("digits_mlp")


def test_other_labels_and_scores_stay():
    assert label_title("mine lr=3e-4") == "mine lr=3e-4"
    assert score_title("mcc") == "Matthews correlation"
    assert score_title("accuracy_mm") == "accuracy mm"
