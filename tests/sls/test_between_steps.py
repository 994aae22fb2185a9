"""Gradients and learning rates written between two steps: one warning each, and no effect."""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

from sls import ALSALS, PeakSLS
from tests.sls.optimizers import Make, each_optimizer
from tests.sls.problems import PROBLEMS, vector_of

Write = Callable[[nn.Module, Any], None]


def run(make: Make, write: Write, steps: int = 6) -> Any:
    """Parameters after some steps, with something written before each."""
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    for k in range(steps):
        write(module, optimizer)
        optimizer.step(lambda k=k: module(k))
    return vector_of(module)


def nothing(module: nn.Module, optimizer: Any) -> None:
    pass


@contextmanager
def warned_once(match: str) -> Iterator[None]:
    with pytest.warns(UserWarning, match=match) as caught:
        yield
    assert len(caught) == 1


# -------------------------------------------------------------------------------- gradients


def accumulate_outside(module: nn.Module, optimizer: Any) -> None:
    module(3).backward()


def zeroed_then_accumulated(module: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    module(3).backward()


@pytest.mark.parametrize("write", [accumulate_outside, zeroed_then_accumulated])
@each_optimizer
def test_gradients_from_outside_are_dropped_and_warned_of_once(make: Make, write: Write) -> None:
    with warned_once(r"gradients .* are dropped.*sls\.accumulate"):
        result = run(make, write)
    assert (result == run(make, nothing)).all()


def set_to_none(module: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()


def set_to_zero(module: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad(set_to_none=False)


@pytest.mark.parametrize("write", [nothing, set_to_none, set_to_zero])
@each_optimizer
def test_gradients_of_the_last_step_and_zeros_are_not_warned_of(make: Make, write: Write) -> None:
    run(make, write, steps=15)


def test_gradients_from_before_the_first_step_are_not_warned_of() -> None:
    module = PROBLEMS["network"]()
    for _ in range(2):  # the second optimizer meets the gradients of the first
        optimizer = ALSALS(module.parameters())
        optimizer.step(lambda: module(0))


def test_gradients_of_a_group_added_later_are_not_warned_of() -> None:
    first, second = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = ALSALS([first])
    for _ in range(2):
        optimizer.step(lambda: (first * second).square().sum())
        if len(optimizer.param_groups) == 1:
            optimizer.add_param_group({"params": [second]})


def test_no_value_of_a_gradient_that_a_step_left_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sls.between_steps.any_nonzero", None)
    run(ALSALS, nothing)


def test_zeros_are_looked_at_ten_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr("sls.between_steps.any_nonzero", lambda tensors: bool(looks.append(1)))
    run(ALSALS, set_to_zero, steps=20)
    assert len(looks) == 10


def test_gradients_are_not_kept_alive() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters())
    optimizer.step(lambda: module(0))
    gradient = ref(next(module.parameters()).grad)
    optimizer.zero_grad()
    gc.collect()
    assert gradient() is None


def test_a_sparse_gradient_from_outside_is_looked_at() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = ALSALS(embedding.parameters())
    optimizer.step(lambda: embedding.weight.square().sum())
    optimizer.zero_grad()
    embedding(torch.tensor([1])).sum().backward()
    with pytest.warns(UserWarning, match="are dropped"):
        optimizer.step(lambda: embedding.weight.square().sum())


# ----------------------------------------------------------------------------- learning rates


def by_hand(optimizer: Any) -> Callable[[], None]:
    def write() -> None:
        optimizer.param_groups[0]["lr"] = 77.0

    return write


def one_cycle(optimizer: Any) -> Callable[[], None]:
    return OneCycleLR(optimizer, 0.1, total_steps=20, cycle_momentum=False).step


def by_lambda(optimizer: Any) -> Callable[[], None]:
    return LambdaLR(optimizer, lambda k: 1 / (1 + k)).step


def on_plateau(optimizer: Any) -> Callable[[], None]:
    scheduler = ReduceLROnPlateau(optimizer, patience=0)
    return lambda: scheduler.step(1.0)


def walk(make: Make, scheduler: Any) -> Any:
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    write = scheduler(optimizer)
    for k in range(6):
        optimizer.step(lambda k=k: module(k))
        write()
    return vector_of(module)


@pytest.mark.parametrize("scheduler", [by_hand, one_cycle, by_lambda, on_plateau])
@each_optimizer
def test_a_written_rate_changes_nothing_and_is_warned_of_once(make: Make, scheduler: Any) -> None:
    with warned_once("written by a scheduler or by hand; this changes nothing"):
        result = walk(make, scheduler)
    assert (result == walk(make, lambda optimizer: lambda: None)).all()


def test_the_warning_of_a_rate_names_the_ways_out() -> None:
    with pytest.warns(UserWarning, match="^ALSALS: lr of") as caught:
        walk(ALSALS, by_hand)
    text = str(caught[0].message)
    assert "lr of parameter group 0" in text
    assert "is now 77" in text
    assert all(way in text for way in ("total_steps=", ".around(", "lr_scale"))


def test_around_another_optimizer_the_way_out_is_the_base() -> None:
    with pytest.warns(UserWarning, match="Build the scheduler on AdamW: it scales the step"):
        walk(lambda params: ALSALS.around(torch.optim.AdamW(params)), by_hand)


def test_a_scheduler_on_the_base_is_not_warned_of() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.AdamW(module.parameters())
    optimizer, scheduler = PeakSLS.around(base), LambdaLR(base, lambda k: 1 / (1 + k))
    for k in range(4):
        optimizer.step(lambda k=k: module(k))
        scheduler.step()


def test_rates_of_loaded_copied_and_added_groups_are_not_warned_of() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters())
    optimizer.step(lambda: module(0))
    saved = optimizer.state_dict()
    optimizer.step(lambda: module(1))
    optimizer.load_state_dict(saved)
    optimizer.step(lambda: module(1))
    extra = nn.Parameter(torch.ones(()))
    optimizer.add_param_group({"params": [extra]})

    def loss() -> Tensor:
        return module(2) * extra

    optimizer.step(loss)
    (module, optimizer, extra) = copy.deepcopy((module, optimizer, extra))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(lambda: module(3))
