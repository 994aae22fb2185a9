"""Wrong use that trains nothing or something else: named once, in the first steps."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, PLASLS, SLS, AdamSLS, PeakSLS, SaLSA
from sls.hints import _foreign_random_states
from tests.sls.digits import batch_norm_network, batches, dropout_network
from tests.sls.optimizers import Make, each_optimizer
from tests.sls.problems import PROBLEMS, vector_of


def warnings_of(step: Callable[[], Any], times: int = 1) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            step()
    return [str(warning.message) for warning in caught]


# ---------------------------------------------------------------------------- constant closures


@pytest.mark.parametrize("make", [SLS, ALSALS, SaLSA])
def test_a_loss_computed_before_is_an_error_and_moves_nothing(make: Make) -> None:
    module = PROBLEMS["network"]()
    optimizer, before = make(module.parameters()), vector_of(module)
    loss = module(0)
    with pytest.raises(RuntimeError, match=r"the same tensor again.*Compute it inside"):
        optimizer.step(lambda: loss)
    assert (vector_of(module) == before).all()


def test_a_loss_whose_graph_was_used_is_an_error_with_the_way_out() -> None:
    module = PROBLEMS["network"]()
    loss = module(0)
    loss.backward()
    with pytest.raises(RuntimeError, match="Compute it inside the closure"):
        ALSALS(module.parameters()).step(lambda: loss)


def test_the_same_number_again_is_no_constant_closure() -> None:
    w = nn.Parameter(torch.ones(3))

    def closure() -> float:
        loss = w.square().sum()
        if torch.is_grad_enabled():
            loss.backward()
        return 3.0

    ALSALS([w]).step(closure)


# ------------------------------------------------------------------- losses that do not repeat


def new_batches() -> Callable[[nn.Module], Tensor]:
    """A closure that takes the next mini-batch in every call."""
    numbers = count()
    return lambda module: module(next(numbers))


def by_python(module: nn.Module) -> Tensor:
    return module(0) * (1 + random.random())


def by_numpy(module: nn.Module) -> Tensor:
    return module(0) * (1 + np.random.rand())


@pytest.fixture(autouse=True)
def _same_seeds() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.mark.parametrize(
    ("make_loss", "way_out"),
    [
        (new_batches, "draw it before the closure"),
        (lambda: by_python, "random numbers from Python's random, which are not replayed"),
        (lambda: by_numpy, "random numbers from numpy.random, which are not replayed"),
    ],
    ids=["new batches", "random", "numpy"],
)
@pytest.mark.parametrize("make", [SLS, AdamSLS, PLASLS, ALSALS, SaLSA, PeakSLS])
def test_a_loss_that_does_not_repeat_is_named_once(
    make: Make, make_loss: Any, way_out: str
) -> None:
    module, loss = PROBLEMS["network"](), make_loss()
    optimizer = make(module.parameters())
    messages = warnings_of(lambda: optimizer.step(lambda: loss(module)), times=40)
    (message,) = [text for text in messages if "does not repeat" in text]
    assert way_out in message


@each_optimizer
def test_dropout_and_batch_norm_repeat(make: Make) -> None:
    for model in (dropout_network(), batch_norm_network()):
        optimizer = make(model.parameters())
        optimizer.hints.in_doubt = True
        messages = warnings_of(step_of(optimizer, model), times=10)
        assert messages == []


def test_a_check_is_one_forward_pass_that_the_budget_does_not_pay() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters())
    optimizer.hints.in_doubt = True
    for k in range(5):
        optimizer.step(lambda k=k: module(k))
        assert optimizer.last_step.forwards == 1 + optimizer.last_step.trials + (k == 0)
    assert optimizer.search_state.extra == 5


@pytest.mark.parametrize(
    ("draw", "name"),
    [(random.random, "Python's random"), (np.random.rand, "numpy.random")],
)
def test_a_draw_changes_the_state_of_its_generator_alone(draw: Any, name: str) -> None:
    before = _foreign_random_states()
    draw()
    after = _foreign_random_states()
    assert [one for one in before if before[one] != after[one]] == [name]


# ------------------------------------------------------------------- gradients of another loss


def scaled_gradients(module: nn.Module, scale: float) -> Callable[[], Tensor]:
    """A closure that runs backward on `scale` times the loss that it returns."""

    def closure() -> Tensor:
        loss = module(0)
        if torch.is_grad_enabled():
            (scale * loss).backward()
        return loss.detach()

    return closure


@pytest.mark.parametrize("make", [SLS, AdamSLS, PLASLS, ALSALS, SaLSA])
def test_scaled_gradients_beside_an_unscaled_loss_are_named_once(make: Make) -> None:
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    closure = scaled_gradients(module, 65536.0)
    messages = warnings_of(lambda: optimizer.step(closure), times=20)
    (message,) = [text for text in messages if "not those of the loss" in text]
    assert "falls by 1.5e-05 of what they promise" in message
    assert "step(closure, scaler=scaler)" in message


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("init_step", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("make", [SLS, AdamSLS, ALSALS, SaLSA])
def test_searches_that_fail_with_the_loss_own_gradients_name_nothing(
    make: Make, init_step: float, problem: str
) -> None:
    module = PROBLEMS[problem]()
    optimizer = make(module.parameters(), max_trials=30, init_step=init_step, c=0.99)
    messages = warnings_of(lambda: optimizer.step(lambda: module(0)), times=20)
    assert not [text for text in messages if "not those of the loss" in text]


# -------------------------------------------------------------------------------------- models


def in_eval_mode(messages: list[str]) -> int:
    return sum("the model is in eval mode" in text for text in messages)


def step_of(optimizer: Any, model: nn.Module) -> Callable[[], Any]:
    inputs, targets = batches()[0]
    return lambda: optimizer.step(lambda: nn.functional.cross_entropy(model(inputs), targets))


@pytest.mark.parametrize("network", [dropout_network, batch_norm_network])
@each_optimizer
def test_a_model_in_eval_mode_is_named_once(make: Make, network: Any) -> None:
    model = network().eval()
    messages = warnings_of(step_of(make(model.parameters()), model), times=3)
    assert in_eval_mode(messages) == 1


def test_a_model_without_modes_may_be_in_eval_mode() -> None:
    model = nn.Sequential(nn.Linear(64, 10), nn.Dropout(0.0)).double().eval()
    assert in_eval_mode(warnings_of(step_of(ALSALS(model.parameters()), model))) == 0


def test_a_backbone_may_be_in_eval_mode() -> None:
    model = nn.Sequential(dropout_network().eval(), nn.Linear(10, 10)).double()
    model[1].train()
    assert in_eval_mode(warnings_of(step_of(ALSALS(model.parameters()), model))) == 0


def test_float16_parameters_are_named_once_with_the_way_out() -> None:
    w = nn.Parameter(torch.ones(2, dtype=torch.float16))
    optimizer = ALSALS([w], eps=1e-4)
    messages = warnings_of(lambda: optimizer.step(lambda: w.float().square().sum()), times=3)
    assert sum("torch.autocast(device, dtype=torch.float16)" in text for text in messages) == 1


def test_bfloat16_parameters_are_not_named() -> None:
    w = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    assert warnings_of(lambda: ALSALS([w]).step(lambda: w.float().square().sum())) == []
