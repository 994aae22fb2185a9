"""The files below config/experiment: every one with every optimizer, the small ones really run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from experiments.config.compose import load, run_path
from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.files.run_folder import RunFolder
from experiments.run import run
from tests.experiments.data.locations import bert_folder, data_root

EXPERIMENTS = available(CONFIG_ROOT, "experiment")
TASKS = ("mrpc", "sst2", "qnli", "mnli")
OPTIMIZERS = available(CONFIG_ROOT, "optimizer")
SMALL = [name for name in EXPERIMENTS if name.startswith("cpu_")]
QUICK = [name for name in EXPERIMENTS if name.startswith("quick_")]
CLAIMS = [name for name in EXPERIMENTS if name.startswith("replication_")]
ROWS = [name for name in EXPERIMENTS if name not in [*SMALL, *QUICK, *CLAIMS, "smoke"]]


def test_every_row_of_the_papers_and_every_small_one_has_a_file() -> None:
    texts = [f"{task}{small}_bert" for task in TASKS for small in ("", "_small")]
    others = ["cifar10_resnet34", "cifar100_resnet34", "imagenet_resnet50", "openwebtext_gpt2"]
    own = ["cifar10_vit", "sst2_gpt2"]
    assert sorted(ROWS) == sorted([*texts, *others, *own])
    assert SMALL == [
        "cpu_cifar10_resnet",
        "cpu_cifar10_vit",
        "cpu_mrpc_bert",
        "cpu_shakespeare_gpt2",
        "cpu_sst2_gpt2",
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_every_optimizer(experiment: str, optimizer: str) -> None:
    config = load([f"experiment={experiment}", f"optimizer={optimizer}"], environ={})
    chosen = config.choices
    assert (chosen.experiment, chosen.optimizer) == (experiment, optimizer)


@pytest.mark.parametrize("experiment", ROWS)
@pytest.mark.parametrize("optimizer", ["alsals", "alsals_paper"])
def test_rows_search_with_the_papers_c(experiment: str, optimizer: str) -> None:
    config = load([f"experiment={experiment}", f"optimizer={optimizer}"], environ={})
    pictures = experiment.startswith(("cifar", "imagenet"))
    assert config.optimizer.model_dump()["c"] == (0.5 if pictures else 0.3)


@pytest.mark.parametrize(
    ("experiment", "optimizer", "lr"),
    [
        ("mnli_bert", "adam", 2e-5),
        ("mnli_bert", "sgd", 2e-3),
        ("imagenet_resnet50", "adam", 1e-3),
        ("cifar10_resnet34", "sgd", 0.1),
        ("cifar10_vit", "adam", 1e-3),
        ("sst2_gpt2", "adam", 2e-5),
        ("openwebtext_gpt2", "adam", 6e-4),
    ],
)
def test_rows_have_the_papers_rates(experiment: str, optimizer: str, lr: float) -> None:
    config = load([f"experiment={experiment}", f"optimizer={optimizer}"], environ={})
    assert config.optimizer.model_dump()["lr"] == lr


def three_steps(experiment: str, optimizer: str, results: Path) -> list[dict[str, Any]]:
    """The rows of three steps on the real data, with small parts of them to judge on."""
    if experiment == "cpu_mrpc_bert":
        bert_folder()
    small = {
        "cpu_mrpc_bert": ["task.train_examples=96", "task.max_tokens=32", "model.layers=1"],
        "cpu_sst2_gpt2": ["task.train_examples=96", "task.max_tokens=32"],
        "cpu_shakespeare_gpt2": ["task.validation_share=0.001", "trainer.batch_size=8"],
        "cpu_cifar10_resnet": ["model.width=4", "trainer.batch_size=16"],
        "cpu_cifar10_vit": ["model.layers=2", "model.width=32", "trainer.batch_size=16"],
    }
    config = load(
        [
            f"experiment={experiment}",
            f"optimizer={optimizer}",
            f"data_root={data_root()}",
            f"cache_dir={results / 'cache'}",
            f"results_dir={results}",
            "device=cpu",
            "trainer.max_steps=3",
            *small.get(experiment, []),
        ],
        environ={},
    )
    assert run(config)
    return [row for row in RunFolder(run_path(config)).rows() if row["event"] == "step"]


@pytest.mark.parametrize(
    ("experiment", "optimizer"),
    [
        *((experiment, "alsals") for experiment in SMALL),
        ("cpu_mrpc_bert", "adam"),
        *(
            pytest.param(experiment, "adam", marks=pytest.mark.slow)
            for experiment in SMALL
            if experiment != "cpu_mrpc_bert"
        ),
    ],
)
def test_small_experiments_run(experiment: str, optimizer: str, tmp_path: Path) -> None:
    rows = three_steps(experiment, optimizer, tmp_path)
    assert len(rows) == 3
    assert all(math.isfinite(row["loss"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", SMALL)
@pytest.mark.parametrize("optimizer", [n for n in OPTIMIZERS if n not in ("adam", "alsals")])
def test_small_experiments_run_with_all_the_others(
    experiment: str, optimizer: str, tmp_path: Path
) -> None:
    assert len(three_steps(experiment, optimizer, tmp_path)) == 3
