"""Optimizers that Accelerate prepared: steps, accumulation, mixed precision, resuming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sls
from tests.sls.integrations.tiny import batches, gpt2, parameters, texts

accelerate = pytest.importorskip("accelerate", reason="needs the extra frameworks")

DATA = texts(64)


@pytest.fixture(autouse=True)
def one_accelerator() -> Iterator[None]:
    """Accelerate keeps its settings in the process."""
    from accelerate.state import AcceleratorState, GradientState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


class Run:
    """A model, its optimizer and a loader of micro-batches, prepared."""

    def __init__(self, kind: str, *, dropout: float = 0.0, **settings: Any):
        self.accelerator = accelerate.Accelerator(cpu=True, **settings)
        model = gpt2(dropout=dropout)
        self.optimizer = getattr(sls, kind)(model.parameters(), max_grad_norm=1.0)
        loader = torch.utils.data.DataLoader(batches(DATA, 2), batch_size=None)
        self.model, self.prepared, self.loader = self.accelerator.prepare(
            model, self.optimizer, loader
        )

    def loss_of(self, batch: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.model(**batch).loss
        return loss

    def steps(self, first: int, last: int) -> list[float]:
        micro_batches = list(self.loader)
        groups = [micro_batches[2 * k : 2 * k + 2] for k in range(first, last)]
        closures = [sls.accumulate(self.loss_of, group) for group in groups]
        return [float(self.optimizer.step(c, scaler=self.accelerator.scaler)) for c in closures]


@pytest.mark.parametrize("kind", ["PeakSLS", "ALSALS"])
def test_a_prepared_run_is_the_plain_one_to_the_bit(kind: str) -> None:
    run = Run(kind)
    losses = run.steps(0, 12)
    model = gpt2()
    optimizer = getattr(sls, kind)(model.parameters(), max_grad_norm=1.0)
    micro_batches = batches(DATA, 2)
    groups = [micro_batches[2 * k : 2 * k + 2] for k in range(12)]
    expected = [
        float(optimizer.step(sls.accumulate(lambda batch: model(**batch).loss, group)))
        for group in groups
    ]
    assert losses == expected
    pairs = zip(parameters(run.model), parameters(model), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_the_wrapper_takes_the_same_step() -> None:
    """`prepared.step(closure)` returns nothing, and is the optimizer's own step."""
    ours, theirs = Run("ALSALS"), Run("ALSALS")
    batch = batches(DATA, 4)[0]
    ours.optimizer.step(lambda: ours.loss_of(batch))
    assert theirs.prepared.step(lambda: theirs.loss_of(batch)) is None
    pairs = zip(parameters(ours.model), parameters(theirs.model), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)
    assert ours.optimizer.last_step == theirs.optimizer.last_step


@pytest.mark.parametrize("where", ["around the step", "in the closure", "in the model"])
def test_bf16_searches_as_it_should(where: str) -> None:
    """A prepared model runs under autocast itself; `accelerator.autocast` may be anywhere."""
    run = Run("ALSALS", mixed_precision="bf16")
    batch = batches(DATA, 16)[0]
    autocast = run.accelerator.autocast

    def in_closure() -> Tensor:
        with autocast():
            return run.loss_of(batch)

    for _ in range(10):
        if where == "around the step":
            with autocast():
                run.optimizer.step(lambda: run.loss_of(batch))
        else:
            run.optimizer.step(
                in_closure if where == "in the closure" else lambda: run.loss_of(batch)
            )
    record = run.optimizer.last_step
    assert record.status is sls.Status.ACCEPTED
    assert record.step_size > 1e-3
    assert record.loss < 2.5


@pytest.mark.parametrize("kind", ["PeakSLS", "ALSALS", "SaLSA"])
def test_a_loaded_state_continues_to_the_bit(kind: str, tmp_path: Path) -> None:
    """With dropout; the state of the random generators is Accelerate's to save."""
    run = Run(kind, dropout=0.1)
    run.steps(0, 6)
    run.accelerator.save_state(str(tmp_path))
    expected = run.steps(6, 12), parameters(run.model)
    resumed = Run(kind, dropout=0.1)
    resumed.accelerator.load_state(str(tmp_path))
    assert resumed.steps(6, 12) == expected[0]
    pairs = zip(parameters(resumed.model), expected[1], strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
