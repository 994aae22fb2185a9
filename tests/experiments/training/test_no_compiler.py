"""What a run does not import: torch's compiler, kept off for a while, and packages it needs not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.training.no_compiler import no_compiler

LATE = [
    "torch._dynamo",
    *("accelerate", "lightning", "scipy", "sklearn", "torchvision", "transformers", "wandb"),
    *("dadaptation", "momo", "prodigyopt", "schedulefree"),
]
"""Large packages and those of other optimizers; sls, which the run needs, imports none either."""
RUN = f"""
import sys
from experiments.cli.main import main
assert main(sys.argv[1:]) == 0
print(sorted(set(sys.modules) & set({LATE})))
"""


def test_a_run_on_digits_imports_neither_the_compiler_nor_large_packages(tmp_path: Path) -> None:
    arguments = ["trainer.max_steps=2", "logger.console=false", f"results_dir={tmp_path}"]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            "model=mlp",
            "optimizer=peak_sls",
            *arguments,
        ],
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
