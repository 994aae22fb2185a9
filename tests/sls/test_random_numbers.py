"""Every trial sees the random numbers of the first evaluation: contract 2."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sls import LineSearch
from tests.sls.digits import batches, dropout_network
from tests.sls.optimizers import Make, each_optimizer, each_search, start_at


class RecordsMasks(nn.Module):
    """A linear layer behind dropout that keeps the mask of each evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.masks: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        mask = nn.functional.dropout(torch.ones_like(inputs), 0.5, self.training)
        self.masks.append(mask)
        logits: Tensor = self.layer(inputs * mask)
        return logits


def batch_loss(model: nn.Module, k: int = 0) -> Callable[[], Tensor]:
    inputs, targets = batches()[k]
    return lambda: nn.functional.cross_entropy(model(inputs), targets)


def step_with_trials(optimizer: LineSearch, loss: Callable[[], Tensor]) -> None:
    """A first step that takes several trials."""
    start_at(optimizer, 30.0).step(loss)
    assert optimizer.last_step is not None
    assert optimizer.last_step.trials > 3, "the step was meant to take several trials"


def train(make: Make, seed: int) -> list[Tensor]:
    model = dropout_network()
    optimizer = make(model.parameters())
    torch.manual_seed(seed)
    for k in range(15):
        optimizer.step(batch_loss(model, k))
    return [param.detach() for param in model.parameters()]


@each_optimizer
def test_same_seed_same_run(make: Make) -> None:
    for now, expected in zip(train(make, seed=3), train(make, seed=3), strict=True):
        assert torch.equal(now, expected)


@each_optimizer
def test_another_seed_is_another_run(make: Make) -> None:
    assert not torch.equal(train(make, seed=3)[0], train(make, seed=4)[0])


@each_search
def test_random_state_after_a_step_is_that_after_one_forward_pass(make: Make) -> None:
    model = dropout_network()
    torch.manual_seed(7)
    batch_loss(model)()
    expected = torch.get_rng_state()
    torch.manual_seed(7)
    step_with_trials(make(model.parameters()), batch_loss(model))
    assert torch.equal(torch.get_rng_state(), expected)


@each_search
def test_trials_see_the_masks_of_the_first_evaluation(make: Make) -> None:
    model = RecordsMasks().double()
    step_with_trials(make(model.parameters()), batch_loss(model))
    for mask in model.masks[1:]:
        assert torch.equal(mask, model.masks[0])


@each_optimizer
def test_the_next_step_sees_new_masks(make: Make) -> None:
    model = RecordsMasks().double()
    optimizer = make(model.parameters())
    optimizer.step(batch_loss(model))
    first = model.masks[0]
    model.masks.clear()
    optimizer.step(batch_loss(model))
    assert not torch.equal(model.masks[0], first)


@each_search
def test_other_generators_are_left_alone(make: Make) -> None:
    generator = torch.Generator().manual_seed(2)
    before = random.getstate(), np.random.get_state(), generator.get_state()
    model = dropout_network()
    step_with_trials(make(model.parameters()), batch_loss(model))
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state(), before[1])
    assert torch.equal(generator.get_state(), before[2])


@each_search
def test_a_generator_of_the_closure_is_not_rewound(make: Make) -> None:
    generator, twin = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    model = dropout_network()
    loss = batch_loss(model)

    def draws() -> Tensor:
        torch.rand(1, generator=generator)
        return loss()

    optimizer = make(model.parameters())
    step_with_trials(optimizer, draws)
    assert optimizer.last_step is not None
    for _ in range(optimizer.last_step.forwards):
        torch.rand(1, generator=twin)
    assert torch.equal(generator.get_state(), twin.get_state())
