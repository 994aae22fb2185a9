"""A step of PeakSLS: judging the one before it, holding the peak, and the net."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sls import PeakSLS, Status
from sls.net import CHECK_EVERY
from tests.sls.digits import batch_norm_network, batches
from tests.sls.optimizers import Make, each_peak
from tests.sls.problems import PROBLEMS, SmallNetwork, vector_of
from tests.sls.test_buffers import assert_same_buffers
from tests.sls.test_cost import Synchronisations, peak_in_models
from tests.sls.test_failure import Spoiled, vector
from tests.sls.test_random_numbers import RecordsMasks, batch_loss


def held(optimizer: PeakSLS) -> PeakSLS:
    """The optimizer as if judging had ended at `init_step`."""
    memory = optimizer.search_state
    optimizer.remember(replace(memory, peak=replace(memory.peak, settled=True)))
    return optimizer


def trained(make: Callable[..., PeakSLS], steps: int) -> tuple[SmallNetwork, PeakSLS]:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    for k in range(steps):
        optimizer.step(lambda k=k: problem(k))
    return problem, optimizer


# --- judging -------------------------------------------------------------------------------------


@each_peak
def test_a_judgement_is_what_can_be_measured_from_outside(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    before = vector(problem)
    optimizer.step(lambda: problem(5))
    after, taken = vector(problem), optimizer.last_step.step_size
    loss_after = problem(6)
    gradients = torch.autograd.grad(loss_after, list(problem.parameters()))
    gradient = torch.cat([g.reshape(-1) for g in gradients])
    slope_far = float(gradient @ (before - after)) / taken
    at_before = copy.deepcopy(problem)
    nn.utils.vector_to_parameters(before, at_before.parameters())
    gain = (at_before(6) - loss_after).item()
    optimizer.step(lambda: problem(6))
    record = optimizer.last_step
    assert record.searched
    assert record.gain == pytest.approx(gain, rel=1e-6, abs=1e-14)
    assert record.slope_far == pytest.approx(slope_far, rel=1e-6)
    assert record.slope_near == pytest.approx(2 * record.gain / taken - slope_far, rel=1e-6)
    assert record.curvature == pytest.approx((record.slope_near - slope_far) / taken, rel=1e-4)


@each_peak
def test_a_judged_step_is_looked_at_from_its_start_and_ends_as_an_unjudged_one(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    start, seen = vector_of(problem), []

    def closure() -> Tensor:
        seen.append(vector_of(problem))
        return problem(5)

    optimizer.step(closure)
    assert len(seen) == optimizer.last_step.forwards == optimizer.last_step.trials + 1 == 2
    assert (seen[0] == start).all()
    assert not (seen[1] == start).all()


@each_peak
def test_the_judging_pass_sees_the_same_masks_and_draws_nothing(make: Make) -> None:
    model = RecordsMasks().double()
    optimizer = make(model.parameters())
    optimizer.step(batch_loss(model))
    model.masks.clear()
    state = torch.get_rng_state()
    batch_loss(model)()
    expected = torch.get_rng_state()
    model.masks.clear()
    torch.set_rng_state(state)
    optimizer.step(batch_loss(model))
    assert optimizer.last_step.searched
    assert torch.equal(model.masks[0], model.masks[1])
    assert torch.equal(torch.get_rng_state(), expected)


@each_peak
def test_the_judging_pass_leaves_buffers_alone(make: Make) -> None:
    model = batch_norm_network()
    optimizer = make(model.parameters())
    for k in range(3):
        once = copy.deepcopy(model)
        inputs, targets = batches()[k]
        once(inputs)
        optimizer.step(lambda x=inputs, y=targets: nn.functional.cross_entropy(model(x), y))
        assert optimizer.last_step.searched is (k > 0)
        assert_same_buffers(model, once)


@each_peak
def test_an_error_in_the_judging_pass_leaves_all_as_it_was(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    w, state, calls = vector(problem), copy.deepcopy(optimizer.state_dict()), []

    def closure() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return problem(5)

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert torch.equal(vector(problem), w)
    assert optimizer.state_dict()["param_groups"] == state["param_groups"]
    twin, other = trained(make, 5)
    optimizer.step(lambda: problem(5))
    other.step(lambda: twin(5))
    assert torch.equal(vector(problem), vector(twin))


def test_weight_decay_stays_outside_the_judgement() -> None:
    """Both judge along the direction alone, from wherever they are."""
    problem, optimizer = trained(lambda params: PeakSLS(params, weight_decay=0.5), 3)
    taken, seen = optimizer.last_step.step_size, []
    direction = torch.cat(
        [optimizer.state[p]["direction"].reshape(-1) for p in problem.parameters()]
    )

    def closure() -> Tensor:
        seen.append(vector(problem))
        return problem(3)

    optimizer.step(closure)
    torch.testing.assert_close(seen[1], seen[0] + taken * direction)


# --- cost ----------------------------------------------------------------------------------------


@each_peak
def test_a_step_synchronises_once_while_judging(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    judged = set()
    with Synchronisations(monkeypatch) as synchronisations:
        for k in range(40):
            before = synchronisations.count
            optimizer.step(lambda k=k: problem(k))
            assert synchronisations.count - before == 1
            judged.add(optimizer.last_step.searched)
    assert judged == {True, False}


@each_peak
def test_a_held_step_synchronises_only_to_check_the_net(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = SmallNetwork()
    optimizer = held(make(problem.parameters()))
    with Synchronisations(monkeypatch) as synchronisations:
        for k in range(3 * CHECK_EVERY):
            before = synchronisations.count
            optimizer.step(lambda k=k: problem(k))
            assert synchronisations.count - before == ((k + 1) % CHECK_EVERY == 0)
    assert optimizer.last_step.forwards == 1


def test_the_direction_is_kept_while_judging_and_not_after() -> None:
    problem, optimizer = trained(lambda params: PeakSLS(params, total_steps=50), 19)
    names = {"exp_avg", "exp_avg_sq", "step"}
    assert all(state.keys() == names | {"direction"} for state in optimizer.state.values())
    for k in range(19, 22):
        optimizer.step(lambda k=k: problem(k))
    assert all(state.keys() == names for state in optimizer.state.values())


def test_memory_of_a_judged_step_in_multiples_of_the_model() -> None:
    """No more than a step of ALSALS, which holds a copy of w where here the last direction is."""
    params = [nn.Parameter(torch.randn(256, 256)) for _ in range(8)]
    optimizer = PeakSLS(params)
    peak = peak_in_models(optimizer, params, steps=2)
    assert optimizer.last_step.searched
    assert 1 < peak <= 5.5


# --- where the numbers come from -----------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_at_a_held_step_adam_is_torchs(problem: str, decay: float) -> None:
    ours, theirs = PROBLEMS[problem](), PROBLEMS[problem]()
    optimizer = held(PeakSLS(ours.parameters(), init_step=1e-3, weight_decay=decay))
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=decay)
    assert_same_walk(optimizer, ours, adam, theirs)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_at_a_held_step_sgd_is_torchs_with_momentum(problem: str) -> None:
    ours, theirs = PROBLEMS[problem](), PROBLEMS[problem]()
    optimizer = held(PeakSLS(ours.parameters(), init_step=1e-4, direction="sgd"))
    sgd = torch.optim.SGD(theirs.parameters(), lr=1e-4, momentum=0.9)
    assert_same_walk(optimizer, ours, sgd, theirs)


def assert_same_walk(
    optimizer: PeakSLS, ours: nn.Module, torchs: torch.optim.Optimizer, theirs: nn.Module
) -> None:
    for k in range(60):
        optimizer.step(lambda k=k: ours(k))
        torchs.zero_grad()
        theirs(k).backward()
        torchs.step()
    assert optimizer.param_groups[0]["lr"] == optimizer.defaults["init_step"]
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-12)


def step_sizes(scale: float, shift: float, direction: str) -> list[float]:
    problem = SmallNetwork()
    optimizer = PeakSLS(problem.parameters(), eps=0.0, direction=direction, init_step=1e-3)
    sizes = []
    for k in range(50):
        optimizer.step(lambda k=k: scale * problem(k) + shift)
        sizes.append(optimizer.last_step.step_size)
    return sizes


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_adams_peak_knows_neither_the_scale_nor_the_level_of_the_loss(
    scale: float, shift: float
) -> None:
    assert step_sizes(scale, shift, "adam") == pytest.approx(step_sizes(1.0, 0.0, "adam"), rel=1e-5)


@settings(max_examples=5, deadline=None)
@given(shift=st.floats(-10, 10))
def test_sgds_peak_does_not_know_the_level_of_the_loss(shift: float) -> None:
    assert step_sizes(1.0, shift, "sgd") == pytest.approx(step_sizes(1.0, 0.0, "sgd"), rel=1e-5)


def test_annealing_is_in_the_factor_and_not_in_the_peak() -> None:
    problem = SmallNetwork()
    optimizer = PeakSLS(problem.parameters(), total_steps=20)
    factors, sizes = [], []
    for k in range(20):
        optimizer.step(lambda k=k: problem(k))
        factors.append(optimizer.last_step.factor)
        sizes.append(optimizer.param_groups[0]["lr"])
    assert factors == pytest.approx([1.0] * 14 + [n / 6 for n in range(6, 0, -1)])
    assert len(set(sizes[8:])) == 1
    with pytest.warns(UserWarning, match="more often than total_steps=20"):
        optimizer.step(lambda: problem(20))


# --- failure and the net -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
@each_peak
def test_a_step_that_lost_the_loss_is_taken_back_and_the_peak_halved(
    make: Make, value: float
) -> None:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    optimizer.param_groups[0]["init_step"] = 1.0
    spoiled = Spoiled(problem, 0, value, radius=1e-3)
    optimizer.step(spoiled)
    optimizer.step(spoiled)
    record = optimizer.last_step
    assert record.status is Status.LOWERED
    assert record.step_size == optimizer.param_groups[0]["lr"] == 0.5
    assert not math.isfinite(record.loss)
    torch.testing.assert_close(vector(problem), spoiled.origin, rtol=1e-12, atol=1e-12)
    optimizer.step(lambda: problem(0))
    assert optimizer.last_step.status is Status.ACCEPTED
    assert not optimizer.last_step.searched


@pytest.mark.parametrize("value", [math.nan, math.inf])
@each_peak
def test_a_bad_batch_at_the_held_peak_counts_as_one_without_gradient(
    make: Make, value: float
) -> None:
    problem, twin = SmallNetwork(), SmallNetwork()
    optimizer, other = held(make(problem.parameters())), held(make(twin.parameters()))
    for k in range(4):
        optimizer.step(lambda k=k: problem(k))
        other.step(lambda k=k: twin(k))
    optimizer.step(lambda: problem(4) * value)
    other.step(lambda: twin(4) * 0)
    assert torch.equal(vector(problem), vector(twin))
    assert not math.isfinite(optimizer.last_step.loss)


def run_at_level(optimizer: PeakSLS, param: nn.Parameter, level: float, steps: int) -> list[Status]:
    noise = torch.Generator().manual_seed(int(level * 10))
    statuses = []
    for _ in range(steps):
        shift = level + 0.1 * float(torch.randn((), generator=noise))
        optimizer.step(lambda shift=shift: 0 * param.sum() + shift)
        statuses.append(optimizer.last_step.status)
    return statuses


def test_the_net_halves_the_peak_once_where_the_loss_rises() -> None:
    param = nn.Parameter(torch.ones(2))
    optimizer = held(PeakSLS([param], init_step=1e-3))
    assert Status.LOWERED not in run_at_level(optimizer, param, 1.0, 5 * CHECK_EVERY)
    statuses = run_at_level(optimizer, param, 2.0, 5 * CHECK_EVERY)
    assert statuses.count(Status.LOWERED) == 1
    assert statuses.index(Status.LOWERED) == CHECK_EVERY - 1
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_a_run_resumed_between_checks_of_the_net_goes_on_bit_for_bit() -> None:
    def make(params: Any) -> PeakSLS:
        return held(PeakSLS(params, init_step=1e-2, averaging=True))

    problem, optimizer = trained(make, 2 * CHECK_EVERY + 7)
    again = copy.deepcopy(problem)
    resumed = PeakSLS(again.parameters(), averaging=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    never_saved = trained(make, 2 * CHECK_EVERY + 7)
    pairs = [(problem, optimizer), (again, resumed), never_saved]
    for one, its in pairs:
        for k in range(30):
            its.step(lambda one=one, k=k: one(k))
    for one, its in pairs[1:]:
        assert torch.equal(vector(one), vector(problem))
        assert its.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
