"""The examples of plain, Lightning's and timm's loops learn what they say."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "needs", "epochs", "accuracy"),
    [
        ("lightning_module", "lightning", 2, 0.85),
        ("timm_loop", "timm", 3, 0.6),
    ],
)
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_an_example_learns(name: str, needs: str, epochs: int, accuracy: float) -> None:
    pytest.importorskip(needs, reason="needs the extra frameworks")
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    assert main(epochs=epochs) > accuracy


def test_an_example_runs_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, "examples/plain_loop.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1].strip("%")) > 95
