"""PLASLS: a step for each unit, searched in turn."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sls import PLASLS, AdamSLS, Status, units
from tests.reference.plasls import plasls
from tests.sls.problems import NoisyQuadratic, PlainProblem, SmallNetwork, vector_of
from tests.sls.test_failure import assert_same_state
from tests.sls.test_twins import STEPS, assert_same_walk, walk


class SplitRosenbrock(nn.Module):
    """The banana valley with its two coordinates as two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([-1.2], dtype=torch.float64))
        self.y = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))

    def forward(self, k: int) -> Tensor:
        shift = 0.1 * math.sin(k % 8)
        return ((1 + shift - self.x) ** 2 + 10 * (self.y - self.x**2) ** 2).sum()


class SplitQuadratic(nn.Module):
    """The noisy quadratic with its six coordinates as three parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = [NoisyQuadratic()]
        self.parts = nn.ParameterList(torch.full((2,), 3.0).double() for _ in range(3))

    def forward(self, k: int) -> Tensor:
        whole = self.whole[0]
        w = torch.cat(list(self.parts))
        return (whole.scales * (w - 0.3 * whole.minima[k % 8]) ** 2).sum()


def by_parameter(module: nn.Module) -> list[list[nn.Parameter]]:
    return [[param] for param in module.parameters()]


def by_module(module: nn.Module) -> list[list[nn.Parameter]]:
    return [list(layer.parameters()) for layer in (module.layers[0], module.layers[2])]


Units = Callable[[nn.Module], list[list[nn.Parameter]]]
PROBLEMS: dict[str, tuple[Callable[[], nn.Module], Units]] = {
    "rosenbrock": (SplitRosenbrock, by_parameter),
    "quadratic": (SplitQuadratic, by_parameter),
    "network": (SmallNetwork, by_module),
    "network, four units": (SmallNetwork, by_parameter),
}
VARIATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "adaptive": {"search": "adaptive"},
    "annealed": {"total_steps": STEPS, "anneal": 0.5},
    "decayed": {"weight_decay": 0.1},
    "other-constants": {"c": 0.6, "shrink": 0.7, "growth": 1.05, "init_step": 0.02},
    "few-trials": {"max_trials": 2, "init_step": 100.0, "shrink": 0.3, "growth": 1.001},
}


def made(problem: str, **changed: Any) -> tuple[nn.Module, PLASLS]:
    make, split = PROBLEMS[problem]
    module = make()
    return module, PLASLS(split(module), **changed)


def twin_walk(problem: str, **changed: Any) -> list[Any]:
    make, split = PROBLEMS[problem]
    plain = PlainProblem(make())
    sizes = [sum(param.numel() for param in unit) for unit in split(plain.module)]
    return plasls(plain.loss, plain.gradient, plain.start(), STEPS, sizes=sizes, **changed)


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_walks_with_its_twin(problem: str, variation: str) -> None:
    changed = VARIATIONS[variation]
    module, optimizer = made(problem, **changed)
    assert_same_walk(walk(optimizer, module, STEPS), twin_walk(problem, **changed))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_papers_settings_walk_with_the_twin(problem: str) -> None:
    make, split = PROBLEMS[problem]
    module = make()
    history = walk(PLASLS.paper(split(module)), module, STEPS)
    assert_same_walk(history, twin_walk(problem, tolerance=0.0))


@pytest.mark.parametrize("search", ["every", "adaptive"])
@pytest.mark.parametrize("form", [list, lambda params: [list(params)]], ids=["flat", "nested"])
def test_one_unit_is_adam_sls_to_the_bit(form: Callable[[Any], Any], search: Any) -> None:
    module, other = SmallNetwork(), SmallNetwork()
    history = walk(PLASLS(form(module.parameters()), search=search), module, 60)
    expected = walk(AdamSLS(other.parameters(), search=search), other, 60)
    for (w, record), (w_expected, record_expected) in zip(history, expected, strict=True):
        assert (w == w_expected).all()
        assert record == record_expected


def searched(optimizer: PLASLS) -> list[int]:
    """The units that the last step searched."""
    last = optimizer.search_state.k - 1
    groups = optimizer.param_groups
    return [i for i, group in enumerate(groups) if group["unit"]["last_searched"] == last]


def test_units_are_searched_together_six_times_and_then_in_turn() -> None:
    module, optimizer = made("network, four units")
    turns = []
    for k in range(15):
        optimizer.step(lambda k=k: module(k))
        turns.append(searched(optimizer))
    assert turns[:6] == [[0, 1, 2, 3]] * 6
    assert turns[6:] == [[i % 4] for i in range(9)]


def test_units_have_one_step_at_first_and_then_their_own() -> None:
    module, optimizer = made("network", n_batches_per_epoch=8)
    for k in range(6):
        optimizer.step(lambda k=k: module(k))
        assert len(set(optimizer.step_sizes)) == 1
    for k in range(6, 60):
        optimizer.step(lambda k=k: module(k))
    assert len(set(optimizer.step_sizes)) == 2


def test_all_units_move_each_by_its_own_step() -> None:
    module, optimizer = made("network", n_batches_per_epoch=8)
    for k in range(40):
        optimizer.step(lambda k=k: module(k))
    assert len(set(optimizer.step_sizes)) == 2
    before = [param.detach().clone() for param in module.parameters()]
    optimizer.step(lambda: module(40))
    assert optimizer.last_step.status is Status.ACCEPTED
    for group in optimizer.param_groups:
        for param in group["params"]:
            state = optimizer.state[param]
            t = state["step"]
            direction = state["exp_avg"] / (1 - 0.9**t)
            direction = direction / ((state["exp_avg_sq"] / (1 - 0.999**t)).sqrt() + 1e-8)
            i = next(i for i, one in enumerate(module.parameters()) if one is param)
            torch.testing.assert_close(param.detach(), before[i] - group["lr"] * direction)


def test_the_slope_is_the_searched_units_own() -> None:
    module, optimizer = made("network, four units")
    for k in range(9):
        optimizer.step(lambda k=k: module(k))
    (unit,) = searched(optimizer)
    (param,) = optimizer.param_groups[unit]["params"]
    second = optimizer.state[param]["exp_avg_sq"] / (1 - 0.999 ** optimizer.state[param]["step"])
    expected = (param.grad**2 / (second.sqrt() + 1e-8)).sum()
    assert optimizer.last_step.slope == pytest.approx(float(expected))
    assert optimizer.last_step.step_size == optimizer.param_groups[unit]["lr"]


def test_trials_move_the_searched_unit_alone() -> None:
    module, optimizer = made("network, four units")
    for k in range(8):
        optimizer.step(lambda k=k: module(k))
    start = [param.detach().clone() for param in module.parameters()]
    moved = []

    def closure() -> Tensor:
        pairs = zip(module.parameters(), start, strict=True)
        moved.append([not torch.equal(param, before) for param, before in pairs])
        return module(8)

    optimizer.step(closure)
    assert moved[0] == [False] * 4
    assert moved[1:] == [[False, False, True, False]] * optimizer.last_step.trials


# --- failing searches ----------------------------------------------------------------------------


def trained(steps: int = 8) -> tuple[nn.Module, PLASLS]:
    module, optimizer = made("network")
    for k in range(steps):
        optimizer.step(lambda k=k: module(k))
    return module, optimizer


def fail_a_search(module: nn.Module, optimizer: PLASLS) -> None:
    start = vector_of(module)

    def closure() -> Tensor:
        loss: Tensor = module(8)
        return loss if (vector_of(module) == start).all() else loss + 100

    for group in optimizer.param_groups:
        group["max_trials"] = 3
    optimizer.step(closure)
    assert optimizer.last_step.status is Status.EXHAUSTED


def test_a_failed_search_moves_no_unit() -> None:
    module, optimizer = trained()
    before, state = vector_of(module), copy.deepcopy(optimizer.state_dict()["state"])
    fail_a_search(module, optimizer)
    assert (vector_of(module) == before).all()
    assert_same_state(optimizer.state_dict()["state"], state)


def test_a_failed_search_changes_the_numbers_of_its_unit_alone() -> None:
    module, optimizer = trained()
    before = copy.deepcopy([(g["unit"], g["lr"]) for g in optimizer.param_groups])
    fail_a_search(module, optimizer)
    after = [(g["unit"], g["lr"]) for g in optimizer.param_groups]
    (failed,) = searched(optimizer)
    assert after[1 - failed] == before[1 - failed]
    last_trial = optimizer.last_step.step_size * 2 ** (1 / 500) * 0.9**2
    assert after[failed][0]["failed_at"] == pytest.approx(last_trial)
    assert after[failed][1] == before[failed][1]


def test_after_a_failed_search_the_next_unit_is_searched_from_its_own_step() -> None:
    module, optimizer = trained()
    fail_a_search(module, optimizer)
    (failed,) = searched(optimizer)
    optimizer.step(lambda: module(9))
    assert searched(optimizer) == [1 - failed]
    assert optimizer.last_step.status is Status.ACCEPTED


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("layer", [0, 2])
def test_a_gradient_that_is_not_finite_moves_no_unit(layer: int, value: float) -> None:
    module, optimizer = trained()
    before, state = vector_of(module), copy.deepcopy(optimizer.state_dict()["state"])
    bias: Any = module.layers[layer].bias
    hook = bias.register_hook(lambda gradient: torch.full_like(gradient, value))
    optimizer.step(lambda: module(8))
    hook.remove()
    assert optimizer.last_step.status is Status.NONFINITE_SLOPE
    assert (vector_of(module) == before).all()
    assert_same_state(optimizer.state_dict()["state"], state)


def test_units_share_their_step_until_a_search_has_succeeded() -> None:
    module, optimizer = made("network")
    for _ in range(8):
        optimizer.step(lambda: module(0) * math.nan)
    optimizer.step(lambda: module(0))
    assert searched(optimizer) == [0, 1]
    optimizer.step(lambda: module(1))
    assert searched(optimizer) == [0]


def test_a_unit_without_gradient_is_passed_over() -> None:
    module, optimizer = made("network, four units")
    module.layers[0].bias.requires_grad_(False)
    frozen = module.layers[0].bias.clone()
    turns = []
    for k in range(12):
        optimizer.step(lambda k=k: module(k))
        turns.append(searched(optimizer))
    assert turns[7:] == [[2], [3], [0], [2], [3]]
    assert torch.equal(module.layers[0].bias, frozen)


def test_a_unit_without_a_slope_does_not_hold_up_the_others() -> None:
    w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    dead = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = PLASLS([[dead], [w]])
    statuses = []
    for _ in range(10):
        optimizer.step(lambda: (w**2).sum() + 0 * dead.sum())
        statuses.append(optimizer.last_step.status)
    assert statuses[6:] == [Status.REPEATED, Status.ACCEPTED] * 2
    assert dead.item() == 1.0


UNITS = range(3)
events = st.tuples(st.sets(st.sampled_from(UNITS), min_size=1), st.booleans())


@pytest.mark.filterwarnings("ignore:PLASLS. 10 steps in a row moved nothing")
@settings(deadline=None, max_examples=40)
@given(st.lists(events, min_size=1, max_size=12))
def test_a_step_searches_the_unit_with_a_gradient_that_has_waited_longest(
    steps: list[tuple[set[int], bool]],
) -> None:
    params = [nn.Parameter(torch.tensor([2.0 + i], dtype=torch.float64)) for i in UNITS]
    optimizer = PLASLS([[param] for param in params], max_trials=2)

    def take_step(active: set[int], fails: bool) -> None:
        start = [param.detach().clone() for param in params]

        def closure() -> Tensor:
            moved = not all(map(torch.equal, params, start))
            loss = torch.stack([params[i] ** 2 for i in active]).sum()
            return loss + 100 if moved and fails else loss

        optimizer.step(closure)

    for _ in range(6):
        take_step(set(UNITS), False)
    waiting = list(UNITS)
    for active, fails in steps:
        expected = next(unit for unit in waiting if unit in active)
        before = copy.deepcopy([group["unit"] for group in optimizer.param_groups])
        take_step(active, fails)
        assert searched(optimizer) == [expected]
        waiting = [unit for unit in waiting if unit != expected] + [expected]
        if fails:
            for unit in set(UNITS) - {expected}:
                assert optimizer.param_groups[unit]["unit"] == before[unit]


def test_a_step_that_raises_leaves_all_units_where_they_were() -> None:
    module, optimizer = trained()
    before, state = vector_of(module), copy.deepcopy(optimizer.state_dict())
    calls = []

    def closure() -> Tensor:
        calls.append(0)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return module(8)

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert (vector_of(module) == before).all()
    assert_same_state(optimizer.state_dict(), state)


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 3, 6, 9])
@pytest.mark.parametrize("search", ["every", "adaptive"])
def test_a_resumed_run_continues_bit_for_bit(search: Any, steps: int) -> None:
    module, optimizer = made("network, four units", search=search)
    walk(optimizer, module, steps)
    saved = pickle.dumps((module.state_dict(), optimizer.state_dict()))
    again, optimizer_again = made("network, four units", search=search)
    weights, state = pickle.loads(saved)
    again.load_state_dict(weights)
    optimizer_again.load_state_dict(state)
    for k in range(steps, steps + 20):
        optimizer.step(lambda k=k: module(k))
        optimizer_again.step(lambda k=k: again(k))
    assert (vector_of(again) == vector_of(module)).all()
    assert_same_state(optimizer_again.state_dict(), optimizer.state_dict())


def test_a_saved_state_does_not_move_with_the_optimizer() -> None:
    module, optimizer = trained()
    saved = optimizer.state_dict()["param_groups"]
    before = copy.deepcopy(saved)
    for k in range(8, 12):
        optimizer.step(lambda k=k: module(k))
    assert saved == before


def test_a_copied_optimizer_goes_on() -> None:
    module, optimizer = trained()
    again, optimizer_again = copy.deepcopy((module, optimizer))
    expected = [float(optimizer.step(lambda k=k: module(k))) for k in range(8, 20)]
    assert [float(optimizer_again.step(lambda k=k: again(k))) for k in range(8, 20)] == expected


def test_states_with_and_without_units_are_not_taken_for_each_other() -> None:
    module = SmallNetwork()
    one = AdamSLS([{"params": unit} for unit in by_module(module)])
    each = PLASLS(by_module(module))
    with pytest.raises(ValueError, match="has one step for all parameters, this PLASLS one for"):
        each.load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match=r"has a step for each unit .* this AdamSLS one for all"):
        one.load_state_dict(each.state_dict())


def test_an_added_unit_is_searched_next() -> None:
    module = SmallNetwork()
    first, second = by_module(module)
    optimizer = PLASLS([first])
    for k in range(8):
        optimizer.step(lambda k=k: module(k))
    optimizer.add_param_group({"params": second})
    assert optimizer.step_sizes[1] == optimizer.step_sizes[0]
    optimizer.step(lambda: module(8))
    assert searched(optimizer) == [1]
    assert optimizer.last_step.status is Status.ACCEPTED


def test_a_step_needs_no_more_evaluations_than_its_trials() -> None:
    module, optimizer = trained()
    for k in range(8, 20):
        optimizer.step(lambda k=k: module(k))
        record = optimizer.last_step
        assert record.forwards == 1 + record.trials


def test_units_of_a_model_by_layer_train() -> None:
    module = SmallNetwork()
    optimizer = PLASLS(units.by_layer(module))
    losses = [float(optimizer.step(lambda k=k: module(k))) for k in range(60)]
    assert sum(losses[-8:]) < sum(losses[:8]) / 2


def test_units_are_not_searched_around_another_optimizer() -> None:
    base = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
    with pytest.raises(TypeError, match=r"use ALSALS\.around"):
        PLASLS.around(base)
