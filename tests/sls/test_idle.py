"""Steps that prove nothing, or too much: no growth without proof, and always a way back."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sls import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA, Status
from sls.evidence import proves_nothing, repeats
from tests.sls.optimizers import EVERY, LINE_SEARCHES, Make, each_search
from tests.sls.pairs import pairs
from tests.sls.test_failure import assert_same_state

EPS = torch.finfo(torch.float32).eps
IDLE_STEPS = 300


@contextmanager
def no_hints() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class Regression:
    """Noise-free least squares in 8 dimensions, from 0; mini-batch k of 16 rows."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        self.target = torch.randn(8, generator=generator).to(dtype)
        self.rows = torch.randn(64, 16, 8, generator=generator).to(dtype)
        self.w = nn.Parameter(torch.zeros(8, dtype=dtype))

    def loss(self, k: int) -> Tensor:
        return (self.rows[k % 64] @ (self.w - self.target)).square().mean()

    def steps_to(self, optimizer: Any, loss: float, at_most: int) -> int:
        """The number of steps from w = 0 until a mini-batch has this loss."""
        with torch.no_grad():
            self.w.zero_()
        for k in range(at_most):
            if float(optimizer.step(lambda k=k: self.loss(k))) <= loss:
                return k + 1
        return at_most + 1


IDLE: dict[str, Callable[[Tensor], Tensor]] = {
    "gradient of zero": lambda w: (w * 0).sum(),
    "hinge with room to spare": lambda w: torch.relu(-1 + 0 * w.sum()),
    "masked but for a constant": lambda w: 3 + (w * 0).sum(),
    "gradient of 1e-20": lambda w: 1 + 1e-20 * w.sum() + 1e-20 * w.square().sum(),
}


EVERY_AND_IDLE = pairs([name for name, _ in EVERY], list(IDLE))


@pytest.mark.parametrize(("name", "idle"), EVERY_AND_IDLE)
def test_idle_steps_do_not_grow_the_step(name: str, idle: str) -> None:
    problem = Regression()
    optimizer = dict(EVERY)[name]([problem.w])
    sizes = set()
    with no_hints():
        for _ in range(IDLE_STEPS):
            optimizer.step(lambda: IDLE[idle](problem.w))
            sizes.add(optimizer.last_step.step_size)
    assert len(sizes) == 1


def steps_of_a_fresh_one(make: Make) -> int:
    problem = Regression()
    return problem.steps_to(make([problem.w]), 1e-3, 500)


@pytest.mark.parametrize(("name", "idle"), EVERY_AND_IDLE)
def test_after_idle_steps_a_problem_is_solved_as_from_the_start(name: str, idle: str) -> None:
    make, problem = dict(EVERY)[name], Regression()
    optimizer = make([problem.w])
    with no_hints():
        for _ in range(IDLE_STEPS):
            optimizer.step(lambda: IDLE[idle](problem.w))
    allowed = 2 * steps_of_a_fresh_one(make)
    assert problem.steps_to(optimizer, 1e-3, allowed) <= allowed


# ALSALS.paper estimates its slope by forward passes of their own.
WITH_EXACT_SLOPE = [pytest.param(make, id=n) for n, make in LINE_SEARCHES if n != "ALSALS.paper"]


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("make", WITH_EXACT_SLOPE)
def test_an_idle_step_makes_one_trial(make: Make, idle: str) -> None:
    problem = Regression()
    optimizer = make([problem.w])
    with no_hints():
        for _ in range(30):
            optimizer.step(lambda: IDLE[idle](problem.w))
            assert optimizer.last_step.forwards <= 2


# SaLSA's smoothing remembers decreases; its step goes on falling in the rounding of the loss.
@pytest.mark.parametrize("make", [SLS, AdamSLS, ALSALS, PeakSLS])
def test_a_solved_problem_costs_two_forward_passes_a_step(make: Callable[..., Any]) -> None:
    problem = Regression()
    optimizer = make([problem.w])
    with no_hints():
        problem.steps_to(optimizer, -1.0, 400)
        passes = 0
        for k in range(200):
            optimizer.step(lambda k=k: problem.loss(k))
            passes += optimizer.last_step.forwards
    assert passes <= 2.1 * 200


@each_search
def test_a_mini_batch_without_a_slope_changes_nothing(make: Make) -> None:
    """Neither parameters nor Adam's moments, which would fade, nor the search."""
    problem = Regression()
    optimizer = make([problem.w])
    for k in range(15):
        optimizer.step(lambda k=k: problem.loss(k))
    w, state = problem.w.detach().clone(), copy.deepcopy(optimizer.state_dict())
    optimizer.step(lambda: (problem.w * 0).sum())
    assert optimizer.last_step.status is Status.IDLE
    assert torch.equal(problem.w, w)
    after = optimizer.state_dict()
    for name, value in state["state"].get(0, {}).items():
        assert_same_state(after["state"][0][name], value, name)


# --- too much ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [SLS, AdamSLS, ALSALS, SaLSA, PeakSLS])
def test_from_a_start_of_1e30_there_is_a_way_back(
    make: Callable[..., Any], dtype: torch.dtype
) -> None:
    problem = Regression(dtype)
    optimizer = make([problem.w], init_step=1e30)
    with no_hints():
        assert problem.steps_to(optimizer, 0.1, 400) <= 400


@each_search
def test_on_a_line_without_end_the_step_stays_in_the_type(make: Make) -> None:
    w = nn.Parameter(torch.zeros(3))
    optimizer = make([w])
    group = optimizer.param_groups[0]
    group["growth"], group["n_batches_per_epoch"] = 1e6, 1
    with no_hints():
        for _ in range(30):
            optimizer.step(lambda: -1e-20 * w.sum())
            assert optimizer.last_step.step_size <= torch.finfo(torch.float32).max
    assert torch.isfinite(w).all()


# --- a search that fails -------------------------------------------------------------------------


class Unscaled:
    """Least squares on a column near 1,000 that nobody scaled: a curvature of 2e6."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = 1000 + 100 * torch.rand(64, 1, generator=generator)
        self.weight, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def __call__(self) -> Tensor:
        return (self.x * self.weight + self.bias - 3 * self.x).square().mean()


@pytest.mark.parametrize("make", [SLS, SLS.paper, ALSALS, AdamSLS, SaLSA])
def test_an_unscaled_column_is_learned(make: Callable[..., Any]) -> None:
    problem = Unscaled()
    optimizer = make([problem.weight, problem.bias])
    first = problem().item()
    with no_hints():
        for _ in range(300):
            optimizer.step(problem)
    assert problem().item() < 1e-3 * first


def test_slss_fallback_is_not_taken_where_it_raises_the_loss() -> None:
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = SLS([w], max_trials=2)
    optimizer.step(lambda: 1e9 * w.square().sum())  # 1e-6 is 2,000 times too long
    assert optimizer.last_step is not None
    assert optimizer.last_step.status is Status.EXHAUSTED
    assert w.item() == 1


def test_a_failed_search_leaves_a_lower_start() -> None:
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = SLS([w], max_trials=5, growth=1.0, shrink=0.5)
    tried = []
    for _ in range(8):
        optimizer.step(lambda: 1e9 * w.square().sum())
        assert optimizer.last_step is not None
        tried.append(optimizer.search_state.failed_at)
    assert tried[:3] == [2.0**-4, 2.0**-8, 2.0**-12]
    assert optimizer.last_step is not None
    assert optimizer.last_step.status is Status.ACCEPTED


@pytest.mark.parametrize("name", ["ALSALS-adaptive", "SaLSA"])
def test_after_a_failed_search_the_next_step_searches(name: str) -> None:
    problem = Regression()
    optimizer = dict(LINE_SEARCHES)[name]([problem.w])
    for k in range(15):
        optimizer.step(lambda k=k: problem.loss(k))
    spoiled = [True]

    def falls_off_a_cliff() -> Tensor:
        loss = problem.loss(15)
        return loss if torch.is_grad_enabled() else loss + 1e9

    while spoiled[0]:
        optimizer.step(falls_off_a_cliff)
        spoiled[0] = optimizer.last_step.status is Status.REPEATED
    assert optimizer.last_step.status is Status.EXHAUSTED
    optimizer.step(lambda: problem.loss(16))
    assert optimizer.last_step.searched


def test_means_below_zero_are_forgotten_with_a_failed_search() -> None:
    """With h and s negative no small step can pass: the search would fail for ever."""
    problem = Regression()
    optimizer = ALSALS([problem.w])
    optimizer.remember(type(optimizer.search_state)(k=1, step_size=0.1, h=-1.0, s=-1e-2))
    with no_hints():
        assert problem.steps_to(optimizer, 1e-2, 400) <= 400


# --- hints ---------------------------------------------------------------------------------------


def test_ten_refused_steps_in_a_row_are_told_once() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = ALSALS([w])
    for k in range(30):
        if k == 9:
            with pytest.warns(UserWarning, match="10 steps in a row moved nothing.*nonfinite_loss"):
                optimizer.step(lambda: w.sum() * math.nan)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                optimizer.step(lambda: w.sum() * math.nan)


def test_refused_steps_with_others_between_them_are_not_told() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = ALSALS([w])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(40):
            factor = 1.0 if k % 10 == 9 else math.nan
            optimizer.step(lambda factor=factor: w.square().sum() * factor)


def noisy(problem: Regression) -> Callable[[], Tensor]:
    """A loss whose noise comes from no generator that could be replayed."""
    calls = [0]

    def closure() -> Tensor:
        calls[0] += 1
        return problem.loss(0) + 0.1 * math.sin(1e4 * calls[0])

    return closure


@pytest.mark.parametrize("make", [SLS, AdamSLS])
def test_a_loss_that_does_not_repeat_is_told_and_the_step_does_not_vanish(
    make: Callable[..., Any],
) -> None:
    problem = Regression()
    with torch.no_grad():
        problem.w.copy_(problem.target + 1e-3)
    optimizer = make([problem.w], shrink=0.3)
    closure = noisy(problem)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2000):
            optimizer.step(closure)
    assert sum("does not repeat" in str(one.message) for one in told) == 1
    assert optimizer.search_state.step_size > 1e-12


# --- what counts as nothing ----------------------------------------------------------------------

LOSSES = st.floats(-1e6, 1e6)


@given(loss=LOSSES, step_size=st.floats(1e-8, 1e8), level=st.floats(0, 1e6))
def test_an_exactly_flat_line_proves_nothing(loss: float, step_size: float, level: float) -> None:
    assert proves_nothing(
        step_size=step_size, slope=0.0, loss=loss, loss_next=loss, level=level, eps=EPS
    )


@given(loss=LOSSES, level=st.floats(0, 1e6), step_size=st.floats(1e-12, 1e-3))
def test_a_small_step_down_a_real_slope_proves_something(
    loss: float, level: float, step_size: float
) -> None:
    slope = 1 + 10 * EPS * max(abs(loss), level)
    assert not proves_nothing(
        step_size=step_size, slope=slope, loss=loss, loss_next=loss, level=level, eps=EPS
    )


@pytest.mark.parametrize("loss_next", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_proves_something(loss_next: float) -> None:
    assert not proves_nothing(
        step_size=1.0, slope=0.0, loss=1.0, loss_next=loss_next, level=1.0, eps=EPS
    )


def test_losses_repeat_up_to_the_noise_of_atomic_sums() -> None:
    assert repeats(1.0, 1.0 + 100 * EPS, EPS)
    assert not repeats(1.0, 1.01, EPS)


# --- settings that the type cannot hold ----------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "dtype"),
    [
        ("init_step", 1e39, torch.float32),
        ("init_step", 1e5, torch.float16),
        ("init_step", 1e-40, torch.float32),
        ("eps", 1e39, torch.float32),
        ("weight_decay", 1e6, torch.float16),
    ],
)
@pytest.mark.parametrize("make", [ALSALS, PeakSLS])
def test_a_setting_that_the_parameters_cannot_hold_is_refused(
    make: Callable[..., Any], setting: str, value: float, dtype: torch.dtype
) -> None:
    with pytest.raises(ValueError, match=f"^{setting} of parameter group 0 is .*{dtype}"):
        make([nn.Parameter(torch.ones(2, dtype=dtype))], **{setting: value})


@pytest.mark.filterwarnings("ignore:.*parameters are torch.float16")
@pytest.mark.parametrize("make", [AdamSLS, ALSALS, SaLSA, PeakSLS])
@pytest.mark.parametrize(("dtype", "eps"), [(torch.float32, 0.0), (torch.float16, 1e-8)])
def test_an_epsilon_that_rounds_to_nothing_divides_nothing_by_zero(
    make: Callable[..., Any], dtype: torch.dtype, eps: float
) -> None:
    w = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = make([w], eps=eps)
    for _ in range(5):
        optimizer.step(lambda: w[:2].float().square().sum())  # no gradient in the other half
        assert optimizer.last_step.status.moved
    assert torch.isfinite(w).all()
