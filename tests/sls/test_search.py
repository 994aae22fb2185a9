"""The backtracking loop over plain functions."""

from __future__ import annotations

import math
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sls import Status
from sls.search import backtrack, decrease_of_parabola

SHRINK = st.floats(0.05, 0.95)
START = st.floats(1e-6, 1e6)


@given(start=START, shrink=SHRINK, limit=st.floats(1e-8, 1e6), max_trials=st.integers(1, 60))
def test_accepts_the_first_step_on_the_grid_that_satisfies_the_condition(
    start: float, shrink: float, limit: float, max_trials: int
) -> None:
    result = backtrack(
        lambda eta: eta,
        lambda eta, loss: eta <= limit,
        start=start,
        shrink=shrink,
        max_trials=max_trials,
    )
    assert 1 <= result.trials <= max_trials
    if result.status is Status.ACCEPTED:
        assert result.step_size <= limit
        assert result.trials == 1 or result.step_size / shrink > limit * (1 - 1e-12)
    else:
        assert result.status is Status.EXHAUSTED
        assert start * shrink ** (max_trials - 1) > limit * (1 - 1e-9)


@given(start=START, shrink=SHRINK, max_trials=st.integers(1, 60))
def test_tries_start_times_powers_of_shrink(start: float, shrink: float, max_trials: int) -> None:
    tried: list[float] = []

    def loss_at(eta: float) -> float:
        tried.append(eta)
        return 0.0

    backtrack(loss_at, lambda *_: False, start=start, shrink=shrink, max_trials=max_trials)
    assert tried == pytest.approx([start * shrink**i for i in range(max_trials)], rel=1e-9)


@given(
    start=st.floats(1e-3, 1e6),
    shrink=st.floats(0.3, 0.95),
    slope=st.floats(1e-3, 1e3),
    curvature=st.floats(1e-3, 1e3),
    c=st.floats(0.05, 0.95),
)
def test_interpolation_finds_the_step_of_a_parabola_in_a_trial_a_power_of_ten(
    start: float, shrink: float, slope: float, curvature: float, c: float
) -> None:
    def loss_at(eta: float) -> float:
        return curvature * eta**2 - slope * eta

    def holds(eta: float, loss: float) -> bool:
        return -loss >= c * eta * slope

    def would_fail(eta: float, tried: float, loss: float) -> bool:
        return not holds(eta, -decrease_of_parabola(eta, slope, tried, -loss))

    # A step at the very limit is a matter of rounding.
    limit = (1 - c) * slope / curvature
    assume(abs(math.log(limit / start) / math.log(shrink) % 1 - 0.5) < 0.49)
    search = partial(backtrack, loss_at, holds, start=start, shrink=shrink, max_trials=1000)
    plain, skipping = search(), search(would_fail=would_fail)
    assert skipping.step_size == plain.step_size
    assert skipping.trials <= plain.trials
    powers = max(0.0, math.log10(start / skipping.step_size))
    assert skipping.trials <= 2 + powers / math.log10(min(10.0, 10 * shrink))


def test_interpolation_does_not_skip_what_no_step_can_leave() -> None:
    """Where nothing would hold, it goes down to a tenth of the last trial, and no lower."""
    tried = []

    def loss_at(eta: float) -> float:
        tried.append(eta)
        return 1.0

    backtrack(
        loss_at,
        lambda *_: False,
        start=1.0,
        shrink=0.5,
        max_trials=4,
        would_fail=lambda *_: True,
    )
    assert tried == [1.0, 0.125, 0.015625, 0.001953125]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_rejected_trial(bad: float) -> None:
    result = backtrack(
        lambda eta: bad if eta > 0.3 else 1.0,
        lambda *_: True,
        start=1.0,
        shrink=0.5,
        max_trials=10,
    )
    assert (result.status, result.step_size, result.trials) == (Status.ACCEPTED, 0.25, 3)


def test_says_when_no_trial_was_finite() -> None:
    result = backtrack(lambda eta: math.nan, lambda *_: True, start=1.0, shrink=0.5, max_trials=3)
    assert (result.status, result.trials) == (Status.NONFINITE_TRIALS, 3)


def test_stops_at_the_least_step_and_keeps_it() -> None:
    result = backtrack(
        lambda eta: 1.0, lambda *_: False, start=1.0, shrink=0.5, max_trials=100, min_step=0.2
    )
    assert (result.status, result.step_size) == (Status.FLOOR, 0.25)


def test_does_not_keep_a_least_step_whose_loss_is_not_finite() -> None:
    result = backtrack(
        lambda eta: 1.0 if eta == 1.0 else math.nan,
        lambda *_: False,
        start=1.0,
        shrink=0.5,
        max_trials=100,
        min_step=0.2,
    )
    assert result.status is Status.EXHAUSTED
