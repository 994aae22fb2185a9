"""Autocast in the closure and around the step, bf16 parameters (9)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sls import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA
from tests.sls.optimizers import Make, each_optimizer, each_search


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


@each_optimizer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_the_step_is_autocast_in_the_closure(
    make: Make, dtype: torch.dtype
) -> None:
    """Autocast keeps its copies of the parameters, which move between the trials."""
    ends = []
    for around in (True, False):
        model = network()
        optimizer = make(model.parameters())
        for _ in range(12):
            with torch.autocast("cpu", dtype=dtype, enabled=around):
                optimizer.step(lambda model=model, on=not around: loss_under(dtype, on, model))
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(ends[0], ends[1])


def loss_under(dtype: torch.dtype, on: bool, model: nn.Module) -> torch.Tensor:
    x, y = data()
    if not on:
        return nn.functional.cross_entropy(model(x), y)
    with torch.autocast("cpu", dtype=dtype):
        return nn.functional.cross_entropy(model(x), y)


def test_after_a_step_the_same_autocast_sees_the_moved_parameters() -> None:
    model, (x, y) = network(), data()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = ALSALS(model.parameters()).step(lambda: nn.functional.cross_entropy(model(x), y))
        after = nn.functional.cross_entropy(model(x), y)
    assert after < before


@each_optimizer
def test_bf16_parameters_train_and_keep_plain_numbers(make: Make) -> None:
    model, (x, y) = network().bfloat16(), data()
    optimizer = (
        peak_above_rounding(model.parameters()) if make is PeakSLS else make(model.parameters())
    )
    losses = [
        float(optimizer.step(lambda: nn.functional.cross_entropy(model(x.bfloat16()).float(), y)))
        for _ in range(60)
    ]
    assert losses[-1] < losses[0]
    numbers = [x for x in flat(optimizer.param_groups[0]["search_state"]) if x is not None]
    assert all(type(number) in (float, int, bool, str) for number in numbers)


def flat(plain: object) -> list[object]:
    if isinstance(plain, dict):
        return [leaf for value in plain.values() for leaf in flat(value)]
    return list(plain) if isinstance(plain, list) else [plain]


@pytest.mark.parametrize("make", [SLS, AdamSLS, ALSALS, SaLSA])
def test_slopes_of_bf16_parameters_are_sums_in_float32(make: Make) -> None:
    """A sum of 4,000 products in bf16 would stop growing at 256."""
    w = nn.Parameter(torch.ones(4000, dtype=torch.bfloat16))
    optimizer = make([w])
    optimizer.step(lambda: w.float().sum())
    assert optimizer.last_step.slope == pytest.approx(4000, rel=1e-2)


def test_a_grad_scaler_refuses_the_closure() -> None:
    model, (x, y) = network(), data()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(
            ALSALS(model.parameters()),
            closure=lambda: nn.functional.cross_entropy(model(x), y),
        )
