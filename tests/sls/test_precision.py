"""bf16 autocast in the closure, bf16 parameters, a GradScaler is refused (9, as far as it goes)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sls import ALSALS, PeakSLS
from tests.sls.optimizers import Make, each_search


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(1)


def peak_above_rounding(params: object) -> PeakSLS:
    """On this network bf16 does not tell a step of 1e-4 from none, so that none can be judged."""
    return PeakSLS(params, init_step=1e-3)


@pytest.mark.parametrize("make", [peak_above_rounding])
def test_bf16_autocast_trains_under_judgements(make: Make) -> None:
    assert_trains_in_bf16(make)


@each_search
def test_bf16_autocast_in_the_closure_trains(make: Make) -> None:
    assert_trains_in_bf16(make)


def assert_trains_in_bf16(make: Make) -> None:
    model, (x, y) = network(), data()
    optimizer = make(model.parameters())

    def closure() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nn.functional.cross_entropy(model(x), y)

    losses = [float(optimizer.step(closure)) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(param.dtype == torch.float32 for param in model.parameters())


def test_bf16_parameters_are_compared_in_float32() -> None:
    model, (x, y) = network().bfloat16(), data()
    optimizer = ALSALS(model.parameters())
    losses = [
        float(optimizer.step(lambda: nn.functional.cross_entropy(model(x.bfloat16()).float(), y)))
        for _ in range(40)
    ]
    assert losses[-1] < 0.7 * losses[0]
    assert optimizer.last_step.slope != float(torch.tensor(optimizer.last_step.slope).bfloat16())


def test_a_grad_scaler_refuses_the_closure() -> None:
    model, (x, y) = network(), data()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(
            ALSALS(model.parameters()),
            closure=lambda: nn.functional.cross_entropy(model(x), y),
        )
