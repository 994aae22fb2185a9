"""What a step does when something is not finite, or nothing is good enough: contract 6."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA, Status, StepRecord
from tests.sls.optimizers import LINE_SEARCHES, Make, each_optimizer, each_search, start_at
from tests.sls.problems import SmallNetwork

NOT_FINITE = [math.nan, math.inf, -math.inf]
each_not_finite = pytest.mark.parametrize("value", NOT_FINITE)


class Spoiled:
    """Mini-batch k, whose loss is `value` farther than `radius` from where it was made."""

    def __init__(self, problem: SmallNetwork, k: int, value: float, radius: float):
        self.problem, self.k, self.value, self.radius = problem, k, value, radius
        self.origin = vector(problem)

    def __call__(self) -> Tensor:
        loss: Tensor = self.problem(self.k)
        distance = float((vector(self.problem) - self.origin).norm())
        return loss if distance <= self.radius else loss + self.value


def vector(problem: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(problem.parameters()).detach().clone()


def record_of(optimizer: LineSearch) -> StepRecord:
    assert optimizer.last_step is not None
    return optimizer.last_step


def trained(make: Make, steps: int = 3) -> tuple[SmallNetwork, LineSearch]:
    """A problem and its optimizer after some good steps."""
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    for k in range(steps):
        optimizer.step(lambda k=k: problem(k))
    return problem, optimizer


OF_A_FAILED_SEARCH = ("failed_at", "recover_to", "h", "s")


def snapshot(optimizer: LineSearch, *without: str) -> dict[str, Any]:
    """The whole state but for the counters that a failed step moves, and what is named."""
    state = copy.deepcopy(optimizer.state_dict())
    search_state = state["param_groups"][0]["search_state"]
    for name in ("k", "last_searched", "extra", *without):
        search_state.get("peak", search_state).pop(name, None)
        for group in state["param_groups"]:
            group.get("unit", {}).pop(name, None)
    return state


def assert_same_state(now: Any, before: Any, where: str = "state_dict") -> None:
    """Equal to the bit, all the way down."""
    if isinstance(before, Tensor):
        assert torch.equal(now, before), where
    elif isinstance(before, dict):
        assert now.keys() == before.keys(), where
        for key, value in before.items():
            assert_same_state(now[key], value, f"{where}[{key!r}]")
    elif isinstance(before, (list, tuple)):
        assert len(now) == len(before), where
        for i, (x, y) in enumerate(zip(now, before, strict=True)):
            assert_same_state(x, y, f"{where}[{i}]")
    else:
        assert now == before, where


def assert_changes_nothing(
    problem: SmallNetwork,
    optimizer: LineSearch,
    loss: Callable[[], Tensor],
    status: Status,
    *but: str,
) -> None:
    """The step says `status`, leaves all as it was but what is named."""
    w, state = vector(problem), snapshot(optimizer, *but)
    optimizer.step(loss)
    assert record_of(optimizer).status is status
    assert torch.equal(vector(problem), w), "parameters"
    assert_same_state(snapshot(optimizer, *but), state)
    assert record_of(optimizer).step_size == optimizer.param_groups[0]["lr"]


def assert_trains_on(problem: SmallNetwork, optimizer: LineSearch, k: int) -> None:
    w = vector(problem)
    optimizer.step(lambda: problem(k))
    assert record_of(optimizer).status in (Status.ACCEPTED, Status.REPEATED)
    assert not torch.equal(vector(problem), w)


@each_not_finite
@each_search
def test_a_trial_that_is_not_finite_is_rejected_and_the_search_goes_on(
    make: Make, value: float
) -> None:
    problem = SmallNetwork()
    optimizer = start_at(make(problem.parameters()), 10.0)
    spoiled = Spoiled(problem, 0, value, radius=0.3)
    optimizer.step(spoiled)
    record = record_of(optimizer)
    assert record.status is Status.ACCEPTED
    assert record.trials > 3
    assert record.loss_next is not None
    assert math.isfinite(record.loss_next)
    assert 0 < float((vector(problem) - spoiled.origin).norm()) <= spoiled.radius


@each_not_finite
@each_search
def test_a_search_without_a_finite_trial_changes_nothing(make: Make, value: float) -> None:
    problem, optimizer = trained(make)
    optimizer.param_groups[0]["max_trials"] = 5
    # Far below every trial, far above what the paper's finite difference looks at.
    spoiled = Spoiled(problem, 3, value, radius=1e-6)
    last_good = optimizer.search_state.step_size
    assert_changes_nothing(
        problem, optimizer, spoiled, Status.NONFINITE_TRIALS, "failed_at", "recover_to"
    )
    assert optimizer.search_state.recover_to == last_good
    assert_trains_on(problem, optimizer, 3)


@each_not_finite
@each_optimizer
def test_a_first_loss_that_is_not_finite_changes_nothing(make: Make, value: float) -> None:
    problem, optimizer = trained(make)
    assert_changes_nothing(problem, optimizer, lambda: problem(3) + value, Status.NONFINITE_LOSS)
    assert_trains_on(problem, optimizer, 3)


@each_not_finite
@each_optimizer
def test_one_gradient_that_is_not_finite_changes_nothing(make: Make, value: float) -> None:
    problem, optimizer = trained(make)
    bias: Any = problem.layers[0].bias
    hook = bias.register_hook(lambda gradient: torch.full_like(gradient, value))
    assert_changes_nothing(problem, optimizer, lambda: problem(3), Status.NONFINITE_SLOPE)
    hook.remove()
    assert_trains_on(problem, optimizer, 3)


@each_optimizer
def test_a_failed_first_step_leaves_no_trace_in_the_run(make: Make) -> None:
    problem, twin = SmallNetwork(), SmallNetwork()
    optimizer, other = make(problem.parameters()), make(twin.parameters())
    optimizer.step(lambda: problem(0) * math.nan)
    for k in range(5):
        optimizer.step(lambda k=k: problem(k))
        other.step(lambda k=k: twin(k))
    assert torch.equal(vector(problem), vector(twin))


def exhausting(optimizer: LineSearch) -> LineSearch:
    """One trial of a step that is far too large, in the first search and in later ones."""
    group = optimizer.param_groups[0]
    group.update(max_trials=1, init_step=1e6, growth=1e60)
    if "n_batches_per_epoch" in group:
        group["n_batches_per_epoch"] = 1
    return optimizer


each_start = pytest.mark.parametrize("steps", [0, 3], ids=["first step", "later step"])
WITHOUT_FALLBACK = [pytest.param(make, id=name) for name, make in LINE_SEARCHES if name != "SLS"]


@each_start
@pytest.mark.parametrize("make", WITHOUT_FALLBACK)
def test_an_exhausted_search_moves_nothing(make: Make, steps: int) -> None:
    problem, optimizer = trained(make, steps)
    before = exhausting(optimizer).search_state
    w, step_size = vector(problem), optimizer.param_groups[0]["lr"]
    optimizer.step(lambda: problem(3))
    assert record_of(optimizer).status is Status.EXHAUSTED
    assert record_of(optimizer).trials == 1
    assert torch.equal(vector(problem), w)
    after = optimizer.search_state
    assert (after.k, after.last_searched) == (steps + 1, steps)
    assert (after.step_size, after.level) == (before.step_size, before.level)
    assert optimizer.param_groups[0]["lr"] == step_size


@pytest.mark.parametrize("make", WITHOUT_FALLBACK)
def test_an_exhausted_search_leaves_the_moments(make: Make) -> None:
    problem, optimizer = trained(make)
    exhausting(optimizer)
    assert_changes_nothing(
        problem, optimizer, lambda: problem(3), Status.EXHAUSTED, *OF_A_FAILED_SEARCH
    )


@each_start
def test_an_exhausted_search_of_sls_takes_its_named_fallback(steps: int) -> None:
    problem, optimizer = trained(SLS, steps)
    before = exhausting(optimizer).search_state
    w = vector(problem)
    optimizer.step(lambda: problem(3))
    gradient = torch.cat([param.grad.reshape(-1) for param in problem.parameters()])  # type: ignore[union-attr]
    assert record_of(optimizer).status is Status.FALLBACK
    assert record_of(optimizer).step_size == optimizer.param_groups[0]["lr"] == 1e-6
    assert optimizer.search_state.step_size == before.step_size
    torch.testing.assert_close(vector(problem), w - 1e-6 * gradient, rtol=0, atol=1e-15)


def step_sizes(make: Make, shift: float) -> list[float]:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    sizes = []
    for k in range(50):
        optimizer.step(lambda k=k: problem(k) + shift)
        sizes.append(record_of(optimizer).step_size)
    return sizes


@each_search
def test_the_sign_of_the_loss_means_nothing(make: Make) -> None:
    assert step_sizes(make, shift=-10.0) == pytest.approx(step_sizes(make, shift=0.0), rel=1e-9)


class LevelQuadratic(nn.Module):
    """`1 + ½·Σ a·w²` in float32: near its minimum all that differs is rounding."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1, 1, 8) * size)

    def forward(self) -> Tensor:
        return 1 + 0.5 * (torch.linspace(1, 3, 8) * self.w**2).sum()


def exhausted_near_the_minimum(
    make: Callable[..., LineSearch], size: float = 1e-4, **settings: Any
) -> int:
    problem = LevelQuadratic(size)
    optimizer = start_at(make(problem.parameters(), **settings), 1e-4)
    statuses = []
    for _ in range(60):
        optimizer.step(problem)
        statuses.append(record_of(optimizer).status)
    return sum(status in (Status.EXHAUSTED, Status.FALLBACK) for status in statuses)


@pytest.mark.parametrize("make", [SLS, AdamSLS, ALSALS, SaLSA])
def test_near_convergence_the_default_needs_no_decrease(make: Callable[..., LineSearch]) -> None:
    assert exhausted_near_the_minimum(make) == 0


# From 1e-4 the squared gradient is so small that SLS' steps prove nothing, and are kept.
@pytest.mark.parametrize(
    ("make", "size"), [(SLS, 4e-4), (AdamSLS, 1e-4), (ALSALS, 1e-4), (SaLSA, 1e-4)]
)
def test_without_the_tolerance_the_same_searches_are_exhausted(
    make: Callable[..., LineSearch], size: float
) -> None:
    assert exhausted_near_the_minimum(make, size) == 0
    assert exhausted_near_the_minimum(make, size, tolerance=0.0) > 0


def before_a_repeated_step(make: Make) -> tuple[SmallNetwork, LineSearch, int]:
    """A run that is about to take its last step again, at mini-batch k."""
    problem, optimizer = trained(make, steps=10)
    for k in range(10, 40):
        kept = copy.deepcopy((problem, optimizer))
        optimizer.step(lambda k=k: problem(k))
        if record_of(optimizer).status is Status.REPEATED:
            return *kept, k
    raise AssertionError("no step was repeated")


ADAPTIVE: dict[str, Make] = {
    "SLS": lambda params: SLS(params, search="adaptive"),
    "AdamSLS": lambda params: AdamSLS(params, search="adaptive"),
    "ALSALS": lambda params: ALSALS(params, search="adaptive"),
    "SaLSA": lambda params: SaLSA(params, growth=1.001),
}


@each_not_finite
@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_bad_gradient_between_searches_changes_nothing(name: str, value: float) -> None:
    problem, optimizer, k = before_a_repeated_step(ADAPTIVE[name])
    bias: Any = problem.layers[0].bias
    hook = bias.register_hook(lambda gradient: torch.full_like(gradient, value))
    assert_changes_nothing(problem, optimizer, lambda: problem(k), Status.NONFINITE_SLOPE)
    assert not record_of(optimizer).searched
    hook.remove()
    assert_trains_on(problem, optimizer, k)


@each_not_finite
@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_bad_loss_between_searches_changes_nothing(name: str, value: float) -> None:
    problem, optimizer, k = before_a_repeated_step(ADAPTIVE[name])
    assert_changes_nothing(problem, optimizer, lambda: problem(k) + value, Status.NONFINITE_LOSS)
    assert record_of(optimizer).trials == 0
    assert_trains_on(problem, optimizer, k)


@each_optimizer
def test_a_failed_first_step_leaves_no_moments(make: Make) -> None:
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = make([param])
    optimizer.step(lambda: param.sum() * math.nan)
    assert optimizer.state_dict()["state"] == {}
