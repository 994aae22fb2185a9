"""Clipping by norm: torch's gradient, the slope of the true one, no wait for the device."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sls import ALSALS, SLS, Backtracking, PeakSLS, Status
from sls.conditions import Armijo
from sls.directions import SGD, Adam
from tests.sls.optimizers import LINE_SEARCHES, PEAKS, Make, each_optimizer
from tests.sls.problems import PROBLEMS, vector_of
from tests.sls.test_cost import Synchronisations


def clipping(make: Make, max_norm: float | None) -> Make:
    """The optimizer with this bound, presets too."""

    def made(params: Any) -> Any:
        optimizer = make(params)
        optimizer.param_groups[0]["max_grad_norm"] = max_norm
        return optimizer

    return made


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [param.grad.clone() for param in module.parameters()]


@each_optimizer
@pytest.mark.parametrize("max_norm", [0.01, 1e3])
def test_the_gradient_is_clipped_as_torch_clips(make: Make, max_norm: float) -> None:
    module, torchs = PROBLEMS["network"](), PROBLEMS["network"]()
    clipping(make, max_norm)(module.parameters()).step(lambda: module(0))
    torchs(0).backward()
    nn.utils.clip_grad_norm_(torchs.parameters(), max_norm)
    for ours, theirs in zip(gradients(module), gradients(torchs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)


@given(max_norm=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_the_slope_is_that_of_the_true_gradient(max_norm: float, seed: int) -> None:
    w = nn.Parameter(torch.randn(7, dtype=torch.float64, generator=rng(seed)))
    start = w.detach().clone()
    true = start * torch.arange(1.0, 8.0, dtype=torch.float64)
    optimizer = SLS([w], max_grad_norm=max_norm, init_step=1e-3, c=1e-3, growth=1)
    optimizer.step(lambda: 0.5 * (torch.arange(1.0, 8.0, dtype=torch.float64) * w**2).sum())
    taken = (start - w.detach()) / optimizer.last_step.step_size
    assert optimizer.last_step.slope == pytest.approx(float(true @ taken), rel=1e-6)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@each_optimizer
def test_a_bound_above_every_norm_changes_no_bit(make: Make) -> None:
    ends = []
    for max_norm in (None, 1e6):
        module = PROBLEMS["network"]()
        optimizer = clipping(make, max_norm)(module.parameters())
        for k in range(30):
            optimizer.step(lambda module=module, k=k: module(k))
        ends.append(vector_of(module))
    assert (ends[0] == ends[1]).all()


def test_one_norm_for_all_groups() -> None:
    a, b = nn.Parameter(torch.tensor([3.0])), nn.Parameter(torch.tensor([4.0]))
    SLS([{"params": [a]}, {"params": [b]}], max_grad_norm=1.0).step(lambda: (a**2 + b**2).sum() / 2)
    assert torch.cat([a.grad, b.grad]).tolist() == pytest.approx([0.6, 0.8], rel=1e-6)


def test_bf16_gradients_have_a_norm_in_float32() -> None:
    w = nn.Parameter(torch.full((1000,), 1.0, dtype=torch.bfloat16))
    SLS([w], max_grad_norm=1.0).step(lambda: (w.float() ** 2).sum() / 2)
    assert float(w.grad[0]) == float(torch.tensor(1 / math.sqrt(1000)).bfloat16())


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("direction", [SGD(), Adam()])
def test_a_norm_that_is_not_finite_is_a_slope_that_is_not(direction: Any, bad: float) -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = Backtracking([w], direction=direction, condition=Armijo(0.1), max_grad_norm=1.0)
    weights = torch.tensor([1.0, 1.0], requires_grad=False)
    optimizer.step(lambda: finite_loss_with_gradient(w, weights))
    before = w.detach().clone(), optimizer.state_dict()["state"]
    optimizer.step(lambda: finite_loss_with_gradient(w, torch.tensor([1.0, bad])))
    assert optimizer.last_step.status is Status.NONFINITE_SLOPE
    assert torch.equal(w, before[0])
    assert str(optimizer.state_dict()["state"]) == str(before[1])


class GivenGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gradient)
        return (w**2).sum()

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> Any:
        return by * ctx.saved_tensors[0], None


def finite_loss_with_gradient(w: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return GivenGradient.apply(w, gradient)


def test_a_held_peak_takes_a_gradient_that_is_not_finite_for_zero() -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = PeakSLS([w], max_grad_norm=1.0, total_steps=10)
    for _ in range(6):
        optimizer.step(lambda: finite_loss_with_gradient(w, torch.tensor([1.0, 1.0])))
    assert optimizer.search_state.peak.held
    optimizer.step(lambda: finite_loss_with_gradient(w, torch.tensor([1.0, math.inf])))
    assert w.grad.tolist() == [0, 0]
    assert w.isfinite().all()


@pytest.mark.parametrize(
    "make",
    [make for _, make in [*LINE_SEARCHES, *PEAKS]],
    ids=[name for name, _ in [*LINE_SEARCHES, *PEAKS]],
)
def test_clipping_waits_for_the_device_no_more_often(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for max_norm in (None, 1e6):
        module = PROBLEMS["network"]()
        optimizer = clipping(make, max_norm)(module.parameters())
        with Synchronisations(monkeypatch) as synchronisations:
            for k in range(12):
                optimizer.step(lambda module=module, k=k: module(k))
        counts.append(synchronisations.count)
    assert counts[0] == counts[1]


def test_foreach_clips_as_the_loop_does() -> None:
    ends = []
    for foreach in (True, False):
        module = PROBLEMS["network"]()
        optimizer = ALSALS(module.parameters(), max_grad_norm=0.1, foreach=foreach)
        for k in range(20):
            optimizer.step(lambda module=module, k=k: module(k))
        ends.append(vector_of(module))
    assert (ends[0] == ends[1]).all()


def test_a_state_from_before_the_setting_loads() -> None:
    w = nn.Parameter(torch.ones(2))
    saved = ALSALS([w]).state_dict()
    for group in saved["param_groups"]:
        del group["max_grad_norm"]
    optimizer = ALSALS([w], max_grad_norm=1.0)
    with pytest.warns(UserWarning, match=r"max_grad_norm: 1\.0 → None"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["max_grad_norm"] is None
