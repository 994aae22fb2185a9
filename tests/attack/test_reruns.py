"""The same config twice gives the same metrics, to the bit, in one process and in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli.main import main
from tests.attack.killing import run_folders, runs_differ, whole
from tests.attack.test_kills import FEATURES, PLAIN

pytestmark = [pytest.mark.attack, pytest.mark.filterwarnings("ignore")]

CASES = {title: words for title, words in (PLAIN | FEATURES).items() if title != "wandb offline"}
QUICK = ("alsals",)


@pytest.mark.parametrize(
    "title",
    [pytest.param(t, marks=[] if t in QUICK else pytest.mark.slow) for t in CASES],
)
def test_a_rerun_is_equal(title: str, tmp_path: Path) -> None:
    for name in ("one", "other"):
        place = f"results_dir={tmp_path / name}"
        assert main([*CASES[title], "device=cpu", "logger.console=false", place]) == 0
    (one,), (other,) = run_folders(tmp_path / "one"), run_folders(tmp_path / "other")
    assert runs_differ(one, other) == []


@pytest.mark.slow
def test_a_rerun_in_another_process_is_equal(tmp_path: Path) -> None:
    words = ("main.py", *CASES["alsals"], "device=cpu")
    for name in ("one", "other"):
        whole(*words, f"results_dir={tmp_path / name}")
    (one,), (other,) = run_folders(tmp_path / "one"), run_folders(tmp_path / "other")
    assert runs_differ(one, other) == []


def test_a_difference_is_seen(tmp_path: Path) -> None:
    for seed in (0, 1):
        place = f"results_dir={tmp_path / str(seed)}"
        words = (*CASES["sgd"], "trainer.max_steps=3", f"seed={seed}", "logger.console=false")
        assert main([*words, place]) == 0
    (one,), (other,) = run_folders(tmp_path / "0"), run_folders(tmp_path / "1")
    found = runs_differ(one, other)
    assert any(text.startswith("metrics") for text in found)
    assert any(text.startswith("checkpoint.model") for text in found)
