"""Parameter groups with a scale of their own, `lr_scale`: one search, scaled directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from sls import ALSALS, PLASLS, SLS, AdamSLS, PeakSLS, SaLSA
from sls.arithmetic import choose
from tests.reference.alsals import alsals
from tests.reference.peak_sls import peak_sls
from tests.sls.optimizers import Make, each_own
from tests.sls.problems import PROBLEMS, PlainProblem, vector_of

RULES: list[type[Any]] = [SLS, AdamSLS, ALSALS, SaLSA, PLASLS, PeakSLS]
each_rule = pytest.mark.parametrize("rule", RULES)
SCALES = (0.25, 4.0)


class Stretched(nn.Module):
    """The network of the tests with its first two parameters multiplied by √s: at w/√s it is the
    same function, and its gradient is the other's times √s.
    """

    def __init__(self, scales: tuple[float, float]) -> None:
        super().__init__()
        self.network = PROBLEMS["network"]()
        params = [p.detach().clone() for p in self.network.parameters()]
        self.roots = [scales[0] ** 0.5] * 2 + [scales[1] ** 0.5] * 2
        self.stretched = nn.ParameterList(p / r for p, r in zip(params, self.roots, strict=True))

    def forward(self, k: int) -> torch.Tensor:
        names = [name for name, _ in self.network.named_parameters()]
        point = {n: p * r for n, p, r in zip(names, self.stretched, self.roots, strict=True)}
        return torch.func.functional_call(self.network, point, (k,))

    def vector(self) -> Any:
        pairs = zip(self.stretched, self.roots, strict=True)
        return torch.cat([(p * r).detach().reshape(-1) for p, r in pairs]).numpy()


def groups_of(module: nn.Module, scales: tuple[float, float]) -> list[Any]:
    params = list(module.parameters())
    return [
        {"params": params[:2], "lr_scale": scales[0]},
        {"params": params[2:], "lr_scale": scales[1]},
    ]


def test_along_the_gradient_a_scale_is_a_stretch_of_the_parameters() -> None:
    # w ← w − η·s·g is gradient descent in w/√s; the slope is s·‖g‖² in both.
    scaled, stretched = PROBLEMS["network"](), Stretched(SCALES)
    optimizer, expected = SLS(groups_of(scaled, SCALES)), SLS(stretched.stretched)
    for k in range(25):
        optimizer.step(lambda k=k: scaled(k))
        expected.step(lambda k=k: stretched(k))
        assert optimizer.last_step.trials == expected.last_step.trials
        np.testing.assert_allclose(optimizer.last_step.slope, expected.last_step.slope)
    np.testing.assert_allclose(vector_of(scaled), stretched.vector(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("rule", "twin", "steps"), [(ALSALS, alsals, 40), (PeakSLS, peak_sls, 90)])
def test_a_scaled_walk_is_that_of_its_twin(rule: Any, twin: Any, steps: int) -> None:
    scaled, plain = PROBLEMS["network"](), PlainProblem(PROBLEMS["network"]())
    optimizer = rule(groups_of(scaled, SCALES), weight_decay=0.05)
    sizes = [param.numel() for param in scaled.parameters()]
    scales = np.repeat([SCALES[0]] * 2 + [SCALES[1]] * 2, sizes)
    same = {"weight_decay": 0.05, "scales": scales}
    for k, step in enumerate(twin(plain.loss, plain.gradient, plain.start(), steps, **same)):
        optimizer.step(lambda k=k: scaled(k))
        np.testing.assert_allclose(vector_of(scaled), step.w, rtol=1e-6, atol=1e-9)


@each_rule
def test_a_scale_of_one_changes_no_bit(rule: Any) -> None:
    plain, scaled = PROBLEMS["network"](), PROBLEMS["network"]()
    one = [{"params": g["params"]} for g in groups_of(plain, SCALES)]
    optimizer, expected = rule(groups_of(scaled, (1.0, 1.0))), rule(one)
    for k in range(40):
        optimizer.step(lambda k=k: scaled(k))
        expected.step(lambda k=k: plain(k))
    assert (vector_of(scaled) == vector_of(plain)).all()


def test_a_scale_of_one_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = PROBLEMS["network"]()
    optimizer = SLS(groups_of(module, (1.0, 1.0)))
    monkeypatch.setattr(type(choose(None, list(module.parameters()))), "mul", None)
    optimizer.step(lambda: module(0))


@settings(deadline=None)
@given(scale=st.floats(0.01, 100), decay=st.floats(0, 0.5))
def test_direction_and_weight_decay_are_scaled(scale: float, decay: float) -> None:
    plain, scaled = (nn.Parameter(torch.tensor([3.0], dtype=torch.float64)) for _ in range(2))
    optimizer = ALSALS(
        [
            {"params": [plain], "weight_decay": decay},
            {"params": [scaled], "weight_decay": decay, "lr_scale": scale},
        ],
        init_step=1e-3,
    )
    optimizer.step(lambda: plain.exp().sum() + scaled.exp().sum())
    moved, expected = 3.0 - scaled.item(), scale * (3.0 - plain.item())
    assert moved == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule is not PeakSLS])
def test_the_slope_is_that_of_the_scaled_direction(rule: Any) -> None:
    w = nn.Parameter(torch.tensor([2.0, -1.0]))
    scaled, plain = (
        rule([{"params": [w], "lr_scale": 3.0}]),
        rule([nn.Parameter(w.detach().clone())]),
    )
    scaled.step(lambda: w.square().sum())
    other = plain.param_groups[0]["params"][0]
    plain.step(lambda: other.square().sum())
    assert scaled.last_step.slope == pytest.approx(3 * plain.last_step.slope)


def test_peaks_anchors_and_judgements_are_those_of_the_scaled_walk() -> None:
    """One group of scale s with the step η is one of scale 1 with the step s·η."""
    scaled, plain = PROBLEMS["network"](), PROBLEMS["network"]()
    optimizer = PeakSLS([{"params": scaled.parameters(), "lr_scale": 0.5}], init_step=2e-4)
    expected = PeakSLS(plain.parameters(), init_step=1e-4)
    for k in range(120):
        optimizer.step(lambda k=k: scaled(k))
        expected.step(lambda k=k: plain(k))
        assert optimizer.last_step.status == expected.last_step.status
        assert optimizer.last_step.step_size == pytest.approx(2 * expected.last_step.step_size)
    np.testing.assert_allclose(vector_of(scaled), vector_of(plain), rtol=1e-9)


@each_own
@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), "0.5", None, True])
def test_a_scale_that_is_none_is_refused(make: Make, scale: Any) -> None:
    with pytest.raises(ValueError, match=r"lr_scale of parameter group 0 .* set requires_grad"):
        make([{"params": [nn.Parameter(torch.ones(1))], "lr_scale": scale}])


@each_own
def test_a_scale_is_part_of_the_state(make: Make) -> None:
    group = {"params": [nn.Parameter(torch.ones(1))], "lr_scale": 0.5}
    assert make([group]).state_dict()["param_groups"][0]["lr_scale"] == 0.5


# ------------------------------------------------------------------------------------ around


def around(module: nn.Module, scales: tuple[float, float] | None, lrs: tuple[float, float]) -> Any:
    groups = groups_of(module, scales or (1.0, 1.0))
    for group, lr in zip(groups, lrs, strict=True):
        group["lr"] = lr
        if scales is None:
            del group["lr_scale"]
    return torch.optim.AdamW(groups, weight_decay=0.1)


def walk(module: nn.Module, base: Any, after_step: Any = lambda: None) -> Any:
    optimizer = ALSALS.around(base)
    for k in range(10):
        optimizer.step(lambda k=k: module(k))
        after_step()
    return vector_of(module)


def test_a_scale_of_the_bases_group_is_a_ratio_of_its_rates() -> None:
    scaled, rates = PROBLEMS["network"](), PROBLEMS["network"]()
    result = walk(scaled, around(scaled, (1.0, 0.25), (0.1, 0.1)))
    assert (result == walk(rates, around(rates, None, (0.1, 0.025)))).all()


def test_a_scale_that_a_scheduler_has_in_its_rates_counts_once() -> None:
    timms, plain = PROBLEMS["network"](), PROBLEMS["network"]()
    base = around(timms, (1.0, 0.25), (0.1, 0.1))

    def write(share: float) -> None:  # as timm's schedulers do
        for group in base.param_groups:
            group["lr"] = share * group["initial_lr"] * group["lr_scale"]

    for group in base.param_groups:
        group["initial_lr"] = group["lr"]
    write(1.0)
    steps = iter(range(1, 20))
    result = walk(timms, base, lambda: write(1 / (1 + next(steps))))
    other = around(plain, None, (0.1, 0.025))
    scheduler = LambdaLR(other, lambda k: 1 / (1 + k))
    np.testing.assert_allclose(result, walk(plain, other, scheduler.step), rtol=1e-9)


def test_a_wrong_scale_of_the_bases_group_is_refused() -> None:
    base = around(PROBLEMS["network"](), (1.0, -1.0), (0.1, 0.1))
    with pytest.raises(ValueError, match="lr_scale of parameter group 1 of AdamW"):
        ALSALS.around(base)
