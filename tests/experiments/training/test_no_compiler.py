"""Without the compiler: a run's start does not import it, and torch is left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.training.no_compiler import no_compiler

RUN = """
import sys
from experiments.cli.main import main
assert main(sys.argv[1:]) == 0
late = ("torch._dynamo", "sklearn", "scipy", "torchvision", "transformers", "wandb")
print([name for name in late if name in sys.modules])
"""


def test_a_run_on_digits_imports_neither_the_compiler_nor_large_packages(tmp_path: Path) -> None:
    arguments = ["trainer.max_steps=2", "logger.console=false", f"results_dir={tmp_path}"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "model=mlp", "optimizer=peak_sls", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_optimizers_within_do_not_call_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    plain = torch.optim.Optimizer.zero_grad.__wrapped__
    monkeypatch.delattr(plain, "__dynamo_disable", raising=False)
    with no_compiler():
        torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1).zero_grad()
        assert "torch._dynamo" not in sys.modules
    assert not hasattr(plain, "__dynamo_disable")
