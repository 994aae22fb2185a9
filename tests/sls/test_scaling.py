"""float16 with a GradScaler: the unscaled walk, overflows that move nothing, closures (9)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from sls import SLS, PeakSLS, Status
from tests.sls.optimizers import Make, each_optimizer
from tests.sls.problems import PROBLEMS, vector_of
from tests.sls.test_cost import Synchronisations
from tests.sls.test_precision import data, network, peak_above_rounding

OVERFLOWING = 2.0**60
"""A scale at which every gradient in float16 overflows."""


def in_half(model: nn.Module) -> Callable[[], Tensor]:
    x, y = data()

    def closure() -> Tensor:
        with torch.autocast("cpu", dtype=torch.float16):
            return nn.functional.cross_entropy(model(x), y)

    return closure


@each_optimizer
def test_a_scaled_walk_is_the_unscaled_one(make: Make) -> None:
    ends = []
    for scaler in (None, GradScaler("cpu", init_scale=2.0**10)):
        module = PROBLEMS["network"]()
        optimizer = make(module.parameters())
        losses = [optimizer.step(lambda m=module, k=k: m(k), scaler=scaler) for k in range(40)]
        ends.append((vector_of(module), torch.stack(losses)))
    assert (ends[0][0] == ends[1][0]).all()
    assert torch.equal(ends[0][1], ends[1][1])


def test_under_autocast_both_walks_agree_to_rounding() -> None:
    """Along the gradient: Adam's direction divides by what float16 rounds to nothing."""
    ends = []
    for scaler in (None, GradScaler("cpu", init_scale=2.0**10)):
        model = network()
        optimizer = SLS(model.parameters())
        for _ in range(10):
            optimizer.step(in_half(model), scaler=scaler)
        ends.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(ends[0], ends[1], rtol=2**-10, atol=2**-10)


@each_optimizer
def test_float16_with_a_scaler_trains(make: Make) -> None:
    model = network()
    optimizer = (
        peak_above_rounding(model.parameters()) if make is PeakSLS else make(model.parameters())
    )
    scaler = GradScaler("cpu", init_scale=2.0**24)  # its first steps overflow
    losses = [float(optimizer.step(in_half(model), scaler=scaler)) for _ in range(60)]
    assert losses[-1] < losses[0]
    assert scaler.get_scale() < 2.0**24


@each_optimizer
@pytest.mark.parametrize("steps_before", [0, 3])
def test_an_overflow_moves_nothing_and_lowers_the_scale(make: Make, steps_before: int) -> None:
    model = network()
    optimizer = make(model.parameters())
    for _ in range(steps_before):
        optimizer.step(in_half(model))
    assert_skipped(optimizer, model)


def test_an_overflow_at_a_held_peak_moves_nothing() -> None:
    model = network()
    optimizer = PeakSLS(model.parameters(), total_steps=20)
    for _ in range(10):
        optimizer.step(in_half(model), scaler=GradScaler("cpu", init_scale=1024.0))
    assert optimizer.search_state.peak.held
    assert_skipped(optimizer, model)


def assert_skipped(optimizer: Any, model: nn.Module) -> None:
    """One step under a scale that overflows: parameters, moments and the step are kept."""
    before = copy.deepcopy((list(model.parameters()), optimizer.state_dict()))
    scaler = GradScaler("cpu", init_scale=OVERFLOWING)
    optimizer.step(in_half(model), scaler=scaler)
    assert optimizer.last_step.status is Status.NONFINITE_SLOPE
    for now, then in zip(model.parameters(), before[0], strict=True):
        assert torch.equal(now, then)
    after = optimizer.state_dict()
    torch.testing.assert_close(after["state"], before[1]["state"], rtol=0, atol=0)
    assert after["param_groups"][0]["lr"] == before[1]["param_groups"][0]["lr"]
    assert scaler.get_scale() == OVERFLOWING / 2


def test_a_held_step_reads_one_number_with_a_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = PeakSLS(model.parameters(), total_steps=20)
    for _ in range(10):
        optimizer.step(in_half(model))
    scaler = GradScaler("cpu", init_scale=1024.0)
    with Synchronisations(monkeypatch) as synchronisations:
        optimizer.step(in_half(model), scaler=scaler)
    assert synchronisations.count == 1


def test_the_slope_and_the_gradient_are_unscaled() -> None:
    w = nn.Parameter(torch.tensor([3.0]))
    optimizer = SLS([w])
    loss = optimizer.step(lambda: (w**2).sum(), scaler=GradScaler("cpu", init_scale=4096.0))
    assert (float(loss), float(w.grad), optimizer.last_step.slope) == (9, 6, 36)


def test_clipping_sees_the_unscaled_gradient() -> None:
    w = nn.Parameter(torch.tensor([3.0]))
    optimizer = SLS([w], max_grad_norm=12.0)
    optimizer.step(lambda: (w**2).sum(), scaler=GradScaler("cpu", init_scale=4096.0))
    assert float(w.grad) == 6


def test_a_closure_that_scales_runs_backward_itself() -> None:
    w = nn.Parameter(torch.tensor([3.0]))

    def closure(backward: bool, scale: Callable[[Tensor], Tensor]) -> Tensor:
        loss = (w**2).sum()
        if backward:
            scale(loss).backward()
        return loss

    optimizer = SLS([w])
    optimizer.step(closure, scaler=GradScaler("cpu", init_scale=4096.0))
    assert float(w.grad) == 6


def test_a_closure_that_runs_backward_without_the_scale_is_refused() -> None:
    w = nn.Parameter(torch.tensor([3.0]))

    def closure() -> Tensor:
        loss = (w**2).sum()
        if torch.is_grad_enabled():
            loss.backward()
        return loss

    scaler = GradScaler("cpu")
    with pytest.raises(RuntimeError, match="must scale the loss"):
        SLS([w]).step(closure, scaler=scaler)
    assert w.tolist() == [3]


def test_parameters_in_float16_are_refused() -> None:
    w = nn.Parameter(torch.ones(1, dtype=torch.float16))
    with pytest.raises(ValueError, match="needs float32 parameters"):
        SLS([w], init_step=0.1).step(lambda: w.sum(), scaler=GradScaler("cpu"))


def test_what_is_no_scaler_is_refused() -> None:
    w = nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"must be a torch\.amp\.GradScaler; got 1024"):
        SLS([w]).step(lambda: w.sum(), scaler=1024)


def test_a_scaler_that_is_off_is_none() -> None:
    w = nn.Parameter(torch.tensor([3.0]))
    SLS([w]).step(lambda: (w**2).sum(), scaler=GradScaler("cpu", enabled=False))
    assert float(w.grad) == 6


def test_a_step_that_raises_leaves_the_scaler_ready() -> None:
    w, scaler = nn.Parameter(torch.tensor([3.0])), GradScaler("cpu")
    optimizer = SLS([w])
    calls = []

    def fails_in_its_trial() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return (w**2).sum()

    with pytest.raises(ZeroDivisionError):
        optimizer.step(fails_in_its_trial, scaler=scaler)
    optimizer.step(lambda: (w**2).sum(), scaler=scaler)
    assert optimizer.last_step.status.moved
