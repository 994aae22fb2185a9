"""One thread for torch, here and in the processes that tests start; the longest files first.

The networks of the tests are so small that a second thread only waits, for long where other
processes share the cores. Of the two processes of `make test` each takes the next file when it is
done with one, so that a long file at the end would leave the other one idle.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent
LONGEST = frozenset(
    ROOT / name
    for name in (
        "test_docs.py",
        "test_guides.py",
        "attack/test_bad_inputs.py",
        "attack/test_reruns.py",
        "examples/test_examples_huggingface.py",
        "examples/test_loops.py",
        "experiments/test_experiments.py",
        "experiments/test_run.py",
        "experiments/test_torchrun.py",
        "experiments/config/test_compose.py",
        "experiments/report/figures/test_figures.py",
        "experiments/report/test_distrust.py",
        "experiments/sweep/launchers/test_ray.py",
        "experiments/sweep/test_conduct.py",
        "sls/distributed/test_ddp.py",
        "sls/distributed/test_fsdp2.py",
        "sls/integrations/test_lightning.py",
        "sls/integrations/test_transformers.py",
        "sls/test_compile.py",
    )
)
"""The files that take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; else the order stays."""
    items.sort(key=lambda item: item.path not in LONGEST)
