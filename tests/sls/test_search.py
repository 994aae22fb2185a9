"""The backtracking loop over plain functions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls import Status
from sls.search import backtrack

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
