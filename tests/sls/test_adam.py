"""At a fixed step, the Adam direction is `torch.optim.Adam`'s (contract 11)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sls import ALSALS, AdamSLS, SaLSA
from tests.sls.problems import PROBLEMS

STEP = 1e-3
STEPS = 100


def fixed_step(optimizer_class: type, params: object, **settings: object) -> torch.optim.Optimizer:
    """The optimizer with a condition that the first trial passes, and no growth."""
    return optimizer_class(params, init_step=STEP, growth=1.0, tolerance=1e30, **settings)


def train(optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    for k in range(STEPS):

        def closure(k: int = k) -> torch.Tensor:
            optimizer.zero_grad()
            loss = module(k)
            if torch.is_grad_enabled():
                loss.backward()
            return loss.detach()

        optimizer.step(closure)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
@pytest.mark.parametrize("optimizer_class", [ALSALS, AdamSLS, SaLSA])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_parameters_follow_torchs_adam(
    problem: str, optimizer_class: type, betas: tuple[float, float]
) -> None:
    ours, theirs = PROBLEMS[problem](), PROBLEMS[problem]()
    train(fixed_step(optimizer_class, ours.parameters(), betas=betas), ours)
    train(torch.optim.Adam(theirs.parameters(), lr=STEP, betas=betas), theirs)
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_moments_are_torchs_to_the_bit() -> None:
    ours, theirs = PROBLEMS["network"](), PROBLEMS["network"]()
    mine = fixed_step(ALSALS, ours.parameters())
    adam = torch.optim.Adam(theirs.parameters(), lr=STEP, foreach=True)
    mine.step(lambda: ours(0))
    theirs(0).backward()
    adam.step()
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine.state[x]["exp_avg"], adam.state[y]["exp_avg"])
        assert torch.equal(mine.state[x]["exp_avg_sq"], adam.state[y]["exp_avg_sq"])


@pytest.mark.parametrize("weight_decay", [0.01, 0.3])
def test_decoupled_decay_is_torchs_adamw(weight_decay: float) -> None:
    ours, theirs = PROBLEMS["network"](), PROBLEMS["network"]()
    train(fixed_step(ALSALS, ours.parameters(), weight_decay=weight_decay), ours)
    train(torch.optim.AdamW(theirs.parameters(), lr=STEP, weight_decay=weight_decay), theirs)
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_a_parameter_without_gradient_in_some_steps_keeps_its_own_count() -> None:
    def build() -> tuple[nn.Parameter, nn.Parameter]:
        return nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))

    def loss(params: tuple[nn.Parameter, nn.Parameter], k: int) -> torch.Tensor:
        always, sometimes = params
        return always.square().sum() + (sometimes.pow(4).sum() if k % 3 == 0 else 0)

    ours, theirs = build(), build()
    mine, adam = fixed_step(ALSALS, ours), torch.optim.Adam(theirs, lr=STEP)
    for k in range(10):
        mine.step(lambda k=k: loss(ours, k))
        adam.zero_grad()
        loss(theirs, k).backward()
        adam.step()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)
