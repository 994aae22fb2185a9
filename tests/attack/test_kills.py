"""Runs and sweeps that are killed at random moments end as if nothing had happened, to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.killing import (
    SEED,
    killed_and_started_again,
    run_folders,
    runs_differ,
    whole,
)
from tests.experiments.data.locations import bert_folder, data_root

pytestmark = [pytest.mark.attack, pytest.mark.slow, pytest.mark.timeout(900)]

Record = Callable[[str, object], None]
DIGITS = (
    "task=digits",
    "model=mlp",
    "model.width=16",
    "model.dropout=0.1",
    "trainer.epochs=3",
    "trainer.eval_every_steps=10",
    "trainer.checkpoint_every_steps=4",
)
PLAIN = {
    name: (*DIGITS, f"optimizer={name}")
    for name in (
        "alsals",
        "alsals_paper",
        "alsals_ratio",
        "sls",
        "sls_paper",
        "adam_sls",
        "salsa",
        "salsa_sgd",
        "peak_sls",
        "adam",
        "adamw",
        "sgd",
        "algoperf_nadamw",
        "prodigy",
        "dadapt_adam",
        "momo_adam",
        "schedulefree_adamw",
    )
}
FEATURES = {
    "averaging": (*DIGITS, "optimizer=peak_sls_averaged"),
    "annealing": (*DIGITS, "optimizer=sls", "optimizer.anneal=0.5"),
    "adaptive search": (*DIGITS, "optimizer=alsals", "optimizer.search=adaptive"),
    "weight decay": (*DIGITS, "optimizer=adam_sls", "optimizer.weight_decay=0.1"),
    "micro-batches": (*DIGITS, "optimizer=alsals", "trainer.micro_batches=4"),
    "bfloat16": (*DIGITS, "optimizer=alsals", "trainer.precision=bfloat16"),
    "hold-out": (*DIGITS, "optimizer=peak_sls", "trainer.hold_out=0.2"),
    "workers": (*DIGITS, "optimizer=alsals", "trainer.workers=2"),
    "wandb offline": (*DIGITS, "optimizer=alsals", "logger.wandb=offline"),
    "paper profile": (*DIGITS, "optimizer=alsals_paper", "profile=paper"),
    "BatchNorm": (*DIGITS[:1], "model.width=4", *DIGITS[4:], "optimizer=alsals"),
    "language model": (
        "task=python_text",
        "model.width=16",
        "model.heads=2",
        "model.layers=1",
        "model.dropout=0.1",
        "task.block=16",
        "trainer.max_steps=60",
        "trainer.eval_every_steps=60",
        "trainer.checkpoint_every_steps=5",
        "trainer.eval_batch_size=1024",
        "optimizer=peak_sls",
    ),
}


def _pictures() -> tuple[str, ...]:
    return (
        "task=image_folder",
        f"data_root={data_root()}",
        "task.size=16",
        "model.width=4",
        "trainer.max_steps=30",
        "trainer.batch_size=32",
        "trainer.eval_every_steps=15",
        "trainer.checkpoint_every_steps=3",
        "optimizer=alsals",
    )


def _texts() -> tuple[str, ...]:
    return (
        "task=glue/mrpc",
        f"data_root={data_root()}",
        "model=bert",
        f"model.name={bert_folder()}",
        "model.layers=1",
        "task.max_tokens=16",
        "task.train_examples=200",
        "trainer.batch_size=8",
        "trainer.max_steps=24",
        "trainer.checkpoint_every_steps=3",
        "trainer.group_by_length=4",
        "optimizer=peak_sls",
    )


REAL = {"augmentation": _pictures, "group_by_length": _texts}


def _survives(
    words: tuple[str, ...],
    tmp_path: Path,
    title: str,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run whole, run killed, compare."""
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    draw = random.Random(f"{SEED} {title}")
    shared = ("main.py", *words, "device=cpu", f"cache_dir={tmp_path / 'cache'}")
    seconds = whole(*shared, f"results_dir={tmp_path / 'whole'}")
    killed = killed_and_started_again(
        *shared, f"results_dir={tmp_path / 'killed'}", seconds=seconds, draw=draw
    )
    record_property("kills", killed.kills)
    (undisturbed,), (disturbed,) = (run_folders(tmp_path / n) for n in ("whole", "killed"))
    found = runs_differ(undisturbed, disturbed)
    assert not found, f"SLS_ATTACK_SEED={SEED}, {killed.kills} kills: {found[:5]}"


@pytest.mark.parametrize("title", [*PLAIN, *FEATURES])
def test_a_killed_run_ends_like_an_undisturbed_one(
    title: str, tmp_path: Path, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (PLAIN | FEATURES)[title]
    _survives(words, tmp_path, title, record_property, monkeypatch)


@pytest.mark.parametrize("title", REAL)
def test_a_killed_run_on_real_data_ends_like_an_undisturbed_one(
    title: str, tmp_path: Path, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    _survives(REAL[title](), tmp_path, title, record_property, monkeypatch)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_sweep_ends_like_an_undisturbed_one(
    workers: int, tmp_path: Path, record_property: Record
) -> None:
    shared = ("run_multiple_img.py", "--sweep", "smoke", f"workers={workers}", "device=cpu")
    shared = (*shared, "seeds=[0]", "model.width=4", "trainer.max_steps=30")
    shared = (*shared, "trainer.checkpoint_every_steps=4")
    draw = random.Random(f"{SEED} sweep {workers}")
    seconds = whole(*shared, f"results_dir={tmp_path / 'whole'}")
    killed = killed_and_started_again(
        *shared, f"results_dir={tmp_path / 'killed'}", seconds=seconds, draw=draw
    )
    record_property("kills_of_sweeps", killed.kills)
    undisturbed, disturbed = (run_folders(tmp_path / n) for n in ("whole", "killed"))
    assert len(undisturbed) == len(disturbed) == 2
    for one, other in zip(undisturbed, disturbed, strict=True):
        assert one.path.parts[-4:] == other.path.parts[-4:]
        found = runs_differ(one, other)
        assert not found, f"SLS_ATTACK_SEED={SEED}, {killed.kills} kills: {found[:5]}"
