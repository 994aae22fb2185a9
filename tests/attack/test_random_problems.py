"""Every optimizer on random problems: types, scales, shifts, lost losses, idle steps, noise."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.sls.optimizers import EVERY, LINE_SEARCHES, Make

EXAMPLES = int(os.environ.get("SLS_ATTACK_EXAMPLES", "40"))
QUICK = 3
STEPS = 30
MOVED = ("accepted", "floor", "fallback", "repeated", "lowered")
TYPES = (torch.float32, torch.float64, torch.bfloat16)

pytestmark = [pytest.mark.attack, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Problem:
    """A sum of squares and a cosine, different in each mini-batch.

    Attributes:
        dtype: of the parameters and the loss.
        curvature: the greatest of the curvatures; the least is a thousandth of it.
        shift: added to the loss.
        scale: of the place where the minimum is, and of the start.
        lost: steps at which the loss is NaN or infinite.
        torn: steps at which the gradient is.
        idle: the steps from `idle` on, `idle_steps` of them, have a gradient of zero.
        noise: of the loss, another at each call.
    """

    dtype: torch.dtype
    curvature: float
    shift: float
    scale: float
    lost: frozenset[int]
    torn: frozenset[int]
    idle: int
    idle_steps: int
    noise: float
    seed: int

    def start(self) -> nn.Parameter:
        generator = torch.Generator().manual_seed(self.seed)
        return nn.Parameter((self.scale * torch.randn(6, generator=generator)).to(self.dtype))

    def loss(self, k: int, w: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + k % 8)
        centre = 0.3 * self.scale * torch.randn(6, generator=generator)
        curvatures = self.curvature * torch.logspace(-3, 0, 6)
        distance = w - centre.to(self.dtype)
        loss = (curvatures.to(self.dtype) * distance**2).sum() + self.shift
        if self.noise:
            loss = loss * (1 + self.noise * _noise(w))
        if self.idle <= k < self.idle + self.idle_steps:
            loss = 0 * loss + self.shift
        if k in self.lost:
            loss = loss * (math.nan if k % 2 else math.inf)
        if k in self.torn:
            loss = loss + (w * 0).abs().sqrt().sum()  # its slope at 0 is infinite, times 0: NaN
        return loss


_CALLS = torch.Generator().manual_seed(5)


def _noise(_w: Tensor) -> float:
    """Not replayed: a generator that no optimizer knows of."""
    return float(torch.randn((), generator=_CALLS))


_steps = st.frozensets(st.integers(0, STEPS - 1), max_size=4)
_powers = st.integers(-6, 6).map(lambda power: 10.0**power)
problems = st.builds(
    Problem,
    dtype=st.sampled_from(TYPES),
    curvature=_powers,
    shift=st.sampled_from([0.0, -1.0, 1.0, 1e3, -1e6, 1e6]),
    scale=_powers,
    lost=_steps,
    torn=_steps,
    idle=st.integers(0, STEPS),
    idle_steps=st.sampled_from([0, 0, 3, 200]),
    noise=st.sampled_from([0.0, 0.0, 1e-3, 0.3]),
    seed=st.integers(0, 10**6),
)
smooth = st.builds(
    Problem,
    dtype=st.sampled_from(TYPES),
    curvature=_powers,
    shift=st.sampled_from([0.0, 1.0, -1.0]),
    scale=_powers,
    lost=st.just(frozenset()),
    torn=st.just(frozenset()),
    idle=st.just(0),
    idle_steps=st.just(0),
    noise=st.just(0.0),
    seed=st.integers(0, 10**6),
)

IDLE = Problem(torch.float32, 1.0, 0.0, 1.0, frozenset(), frozenset(), 3, 1000, 0.0, 1)
STEEP = Problem(torch.float32, 1e8, 0.0, 10.0, frozenset(), frozenset(), 0, 0, 0.0, 1)

many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
few = settings(many, max_examples=QUICK)
each = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in EVERY])


def finite_and_consistent(make: Make, problem: Problem) -> None:
    """Walk through the problem, with a check after each step."""
    param = problem.start()
    optimizer = make([param])
    largest = torch.finfo(problem.dtype).max
    for k in range(max(STEPS, problem.idle + problem.idle_steps + 10)):
        before = param.detach().clone()
        optimizer.step(lambda k=k: problem.loss(k, param))
        record = optimizer.last_step
        assert bool(param.isfinite().all()), f"step {k}: {param.detach()} after {before}"
        assert math.isfinite(record.step_size), f"step {k}: {record}"
        assert 0 <= record.step_size <= largest, f"step {k}: {record}"
        assert 1 <= record.forwards >= record.trials, f"step {k}: {record}"
        assert record.factor == 1, f"step {k}: {record}"
        if record.status not in MOVED:
            assert torch.equal(param, before), f"step {k} moved, but is {record.status}"


@pytest.mark.slow
@each
@many
@given(problem=problems)
@example(problem=IDLE)
@example(problem=STEEP)
def test_parameters_stay_finite_and_records_consistent(make: Make, problem: Problem) -> None:
    finite_and_consistent(make, problem)


@each
@few
@given(problem=problems)
def test_a_few_random_problems(make: Make, problem: Problem) -> None:
    finite_and_consistent(make, problem)


def most_rises_running(make: Make, problem: Problem) -> int:
    """The longest run of steps that raised the loss, all on the same mini-batch."""
    param = problem.start()
    optimizer = make([param])
    most = running = 0
    for _ in range(2 * STEPS):
        before = float(problem.loss(0, param).detach())
        optimizer.step(lambda: problem.loss(0, param))
        after = float(problem.loss(0, param).detach())
        slack = 8 * torch.finfo(problem.dtype).eps * max(abs(before), abs(after), 1.0)
        running = running + 1 if not after <= before + slack else 0
        most = max(most, running)
    return most


# Where a mean over steps or a momentum decides, as in the papers, a swing may rise for a while.
SWING = 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "allowed"),
    [pytest.param(make, 2 if name == "SLS" else SWING, id=name) for name, make in LINE_SEARCHES],
)
@many
@given(problem=smooth)
@example(problem=STEEP)
def test_the_loss_of_the_own_mini_batch_is_not_raised_step_after_step(
    make: Make, allowed: int, problem: Problem
) -> None:
    most = most_rises_running(make, problem)
    assert most <= allowed, f"raised in {most} steps running"


@pytest.mark.slow
@each
@many
@given(problem=problems, at=st.integers(1, STEPS - 1))
def test_a_saved_state_goes_on_bit_for_bit(make: Make, problem: Problem, at: int) -> None:
    problem = Problem(
        **{**vars_of(problem), "noise": 0.0, "idle_steps": min(problem.idle_steps, 9)}
    )
    whole, parts = problem.start(), problem.start()
    optimizer, first = make([whole]), make([parts])
    for k in range(at):
        first.step(lambda k=k: problem.loss(k, parts))
    saved = copy.deepcopy(first.state_dict())
    second = make([parts])
    second.load_state_dict(saved)
    for k in range(STEPS):
        optimizer.step(lambda k=k: problem.loss(k, whole))
        if k >= at:
            second.step(lambda k=k: problem.loss(k, parts))
            assert torch.equal(parts, whole), f"differs after step {k}, saved at {at}"


def vars_of(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__dataclass_fields__}


@pytest.mark.slow
@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_idle_for_long_and_then_useful(make: Make, dtype: torch.dtype) -> None:
    """1,500 idle steps cost little, and what follows is solved as by a fresh optimizer."""

    def walk(idle: int) -> tuple[int, int]:
        param = nn.Parameter(torch.full((4,), 3.0, dtype=dtype))
        optimizer = make([param])
        forwards = 0
        for _ in range(idle):
            optimizer.step(lambda: (param * 0).sum())
            forwards += optimizer.last_step.forwards
        for k in range(3000):
            optimizer.step(lambda: (param**2).sum())
            if float((param.detach() ** 2).sum()) < 1e-2:
                return forwards, k + 1
        return forwards, 3000

    _, fresh = walk(0)
    forwards, later = walk(1500)
    assert forwards <= 2 * 1500, f"{forwards} passes in 1500 idle steps"
    assert later <= 2 * fresh, f"{later} steps after idling, {fresh} afresh"
