"""The examples with Trainer, Accelerate and peft learn something."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true"),
]


def run(example: str, *needs: str) -> Any:
    """What `main` of an example returns."""
    for package in needs:
        pytest.importorskip(package, reason="needs the extra frameworks")
    return runpy.run_path(str(ROOT / "examples" / example))["main"]()


@pytest.fixture
def text() -> None:
    data = Path(os.environ.get("SLS_DATA_ROOT", ROOT.parent / "shared" / "data"))
    if not (data / "tinyshakespeare").is_dir():
        pytest.skip(f"no real data at {data}; set SLS_DATA_ROOT")


@pytest.mark.usefixtures("text")
def test_the_trainer_learns() -> None:
    assert run("transformers_trainer.py", "transformers", "accelerate")["eval_loss"] < 3.4


@pytest.mark.usefixtures("text")
def test_the_loop_with_accelerate_learns() -> None:
    losses = run("accelerate_loop.py", "transformers", "accelerate")
    assert losses[0] > 5
    assert losses[-1] < 3.3


def test_lora_learns_and_merges() -> None:
    before, adapted, merged = run("peft_lora.py", "peft", "sklearn")
    assert adapted > before + 0.3
    assert merged == pytest.approx(adapted, abs=0.01)
