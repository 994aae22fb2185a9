"""A line search with a direction and a condition of the user's own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sls
from sls.conditions import Armijo, Memory, SmoothedArmijo
from sls.directions import Adam, MomentumFreeAdam
from sls.parameters import GroupTensors
from tests.sls.problems import PROBLEMS, vector_of


class Sign(sls.Direction):
    def searched(self, group: GroupTensors) -> list[Tensor]:
        return [grad.sign() for grad in group.grads]


class SignOfMomentum(sls.Direction):
    """With state of its own, as Lion's."""

    def searched(self, group: GroupTensors) -> list[Tensor]:
        mean = group.state_tensors("mean")
        return [torch.lerp(g, m, 0.9).sign() for g, m in zip(group.grads, mean, strict=True)]

    def commit(self, group: GroupTensors) -> None:
        for mean, grad in zip(group.state_tensors("mean"), group.grads, strict=True):
            mean.lerp_(grad, 0.1)
        group.keep_state()


class NoRise(sls.Condition):
    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        return 0.0


class LessThanTheMean(sls.Condition):
    """With a memory: the decrease is at least half of the mean decrease."""

    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        return min(memory.h / 2, 0.1 * step_size * slope)

    def memory_after(
        self, step_size: float, decrease: float, slope: float, memory: Memory
    ) -> Memory:
        return Memory(h=0.9 * memory.h + 0.1 * decrease)


def train(module: nn.Module, optimizer: sls.LineSearch, steps: range) -> list[float]:
    return [float(optimizer.step(lambda k=k: module(k))) for k in steps]


def build(module: nn.Module, **settings: Any) -> sls.Backtracking:
    given: dict[str, Any] = {"direction": Sign(), "condition": Armijo(0.1), **settings}
    return sls.Backtracking(module.parameters(), **given)


@pytest.mark.parametrize(
    ("make", "same"),
    [
        (
            lambda params: sls.ALSALS(params),
            {"direction": Adam(), "condition": SmoothedArmijo(0.3, 0.99), "growth": 1 / 0.999},
        ),
        (
            lambda params: sls.AdamSLS(params, weight_decay=0.1, total_steps=30),
            {
                "direction": MomentumFreeAdam(),
                "condition": Armijo(0.1),
                "growth": 2 ** (1 / 500),
                "weight_decay": 0.1,
                "total_steps": 30,
            },
        ),
    ],
    ids=["ALSALS", "AdamSLS"],
)
def test_with_the_parts_of_an_optimizer_it_is_that_optimizer(
    make: Any, same: dict[str, Any]
) -> None:
    one, other = PROBLEMS["network"](), PROBLEMS["network"]()
    optimizer, backtracking = make(one.parameters()), build(other, init_step=0.1, **same)
    assert train(one, optimizer, range(30)) == train(other, backtracking, range(30))
    assert optimizer.last_step == backtracking.last_step


@pytest.mark.parametrize("condition", [Armijo(0.1), NoRise(), LessThanTheMean()])
@pytest.mark.parametrize("direction", [Sign(), SignOfMomentum()])
def test_own_parts_lower_the_loss(direction: sls.Direction, condition: sls.Condition) -> None:
    module = PROBLEMS["quadratic"]()
    optimizer = build(module, direction=direction, condition=condition)
    losses = train(module, optimizer, range(40))
    assert losses[-1] < 0.2 * losses[0]


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path: Any) -> None:
    parts = {"direction": SignOfMomentum(), "condition": LessThanTheMean(), "search": "adaptive"}
    module, again = PROBLEMS["network"](), PROBLEMS["network"]()
    optimizer = build(module, **parts)
    train(module, optimizer, range(15))
    saved = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(saved, tmp_path / "saved.pt")
    state = torch.load(tmp_path / "saved.pt", weights_only=True)
    resumed = build(again, **parts)
    again.load_state_dict(state["module"])
    resumed.load_state_dict(state["optimizer"])
    assert train(again, resumed, range(15, 40)) == train(module, optimizer, range(15, 40))
    assert (vector_of(again) == vector_of(module)).all()
    assert resumed.search_state.h != 0


def test_copied_and_pickled_optimizers_go_on() -> None:
    module = PROBLEMS["network"]()
    optimizer = build(module, direction=SignOfMomentum())
    train(module, optimizer, range(3))
    copied = copy.deepcopy((module, optimizer))
    pickled = pickle.loads(pickle.dumps((module, optimizer)))
    expected = train(module, optimizer, range(3, 6))
    assert train(*copied, range(3, 6)) == train(*pickled, range(3, 6)) == expected


def test_a_failed_step_leaves_the_directions_state_alone() -> None:
    module = PROBLEMS["network"]()
    optimizer = build(module, direction=SignOfMomentum())
    train(module, optimizer, range(3))
    before = copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.step(lambda: module(3) * float("nan"))
    assert not optimizer.last_step.status.moved
    torch.testing.assert_close(optimizer.state_dict()["state"], before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": Sign}, r"direction must be an object, not a class: write Sign\(\)"),
        (
            {"direction": object()},
            r"lacks takes_what_it_searched, pointwise, searched, taken, commit, step; derive",
        ),
        ({"condition": object()}, r"lacks .*holds.*; derive it from sls\.Condition"),
        ({"condition": None}, "condition NoneType lacks least_decrease"),
    ],
)
def test_a_part_that_lacks_something_is_refused_by_name(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        build(PROBLEMS["quadratic"](), **settings)


def test_a_derived_part_without_its_one_method_is_refused() -> None:
    with pytest.raises(TypeError, match=r"abstract method '?searched"):
        type("Empty", (sls.Direction,), {})()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda group: [],
        lambda group: [torch.ones(1, dtype=torch.float64) for _ in group.grads],
        lambda group: None,
        lambda group: group.grads[0],
    ],
)
def test_a_direction_of_the_wrong_shape_is_refused_and_moves_nothing(wrong: Any) -> None:
    module = PROBLEMS["quadratic"]()
    optimizer = build(module, direction=type("Wrong", (Sign,), {"searched": staticmethod(wrong)})())
    before = vector_of(module)
    with pytest.raises(ValueError, match=r"one tensor per parameter .*wanted \[\(6,\)\], got"):
        train(module, optimizer, range(1))
    assert (vector_of(module) == before).all()
