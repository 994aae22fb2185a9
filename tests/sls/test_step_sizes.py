"""Where searches start, how often they take place, and annealing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA
from sls.step_sizes import SearchState, anneal_factor

STEP = st.floats(1e-8, 1e4)


def test_the_first_search_grows_too() -> None:
    assert SearchState().start(init_step=0.1, growth=2.0) == 0.2


@pytest.mark.parametrize(
    ("make", "first_trial"),
    [
        (SLS.paper, 2 ** (1 / 500)),
        (AdamSLS.paper, 0.1 * 2 ** (1 / 500)),
        (ALSALS.paper, 0.1 / 0.999),
        (SaLSA.paper, 0.1 * 2 ** (1 / 500)),
        (SaLSA, 1.1),
    ],
)
def test_the_first_trial_is_that_of_the_published_codes(
    make: Callable[..., LineSearch], first_trial: float
) -> None:
    param = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = make([param])
    optimizer.step(lambda: param.sum())  # a line, along which every trial is accepted
    assert optimizer.last_step is not None
    assert optimizer.last_step.trials == 1
    assert optimizer.last_step.step_size == pytest.approx(first_trial, rel=1e-12)


def test_later_searches_start_at_the_grown_step() -> None:
    assert SearchState(step_size=0.25).start(init_step=0.1, growth=2.0) == 0.5


@given(total=st.integers(1, 10_000), anneal=st.floats(0.01, 1.0), data=st.data())
def test_annealing_falls_from_one_to_zero_and_never_rises(
    total: int, anneal: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, total))
    now, later = anneal_factor(k, total, anneal), anneal_factor(k + 1, total, anneal)
    assert 0 <= later <= now <= 1
    assert anneal_factor(total, total, anneal) == 0
    assert anneal_factor(0, total, anneal) == 1


@pytest.mark.parametrize(("k", "factor"), [(0, 1), (50, 1), (60, 0.8), (75, 0.5), (99, 0.02)])
def test_annealing_over_the_last_half_of_a_hundred_steps(k: int, factor: float) -> None:
    assert anneal_factor(k, 100, 0.5) == pytest.approx(factor)


def test_no_annealing_without_a_length() -> None:
    assert anneal_factor(10**9, None, 0.5) == 1


@given(steps=st.lists(STEP, min_size=1, max_size=50))
def test_pause_lies_between_one_and_ten(steps: list[float]) -> None:
    state = SearchState()
    for step in steps:
        state = state.after_step(step)
    assert 1 <= state.pause() <= 10


@pytest.mark.parametrize(
    ("fast", "slow", "pause"),
    [(1.0, 1.0, 10), (1.25, 1.0, 4), (1.0, 1.25, 4), (3.0, 1.0, 1), (1.15, 1.0, 7)],
)
def test_pause_is_the_inverse_of_the_ratios_distance_from_one(
    fast: float, slow: float, pause: int
) -> None:
    assert SearchState(fast=fast, slow=slow).pause() == pause


def test_the_first_ten_steps_always_search() -> None:
    assert all(steady(k, k - 1).search_is_due() for k in range(10))
    assert not steady(10, 9).search_is_due()
    assert steady(19, 9).search_is_due()


def test_search_goes_on_until_one_has_succeeded() -> None:
    assert SearchState(k=500, last_searched=499).search_is_due()


def test_a_search_is_due_after_one_that_failed() -> None:
    assert replace(steady(11, 10), failed_at=0.1).search_is_due()


def test_the_start_comes_back_to_the_last_good_step_tenfold() -> None:
    failed = SearchState(step_size=1.0).after_failure(1e-4, init_step=0.1)
    assert failed.start(0.1, growth=1.1) == 1e-4
    state, starts = failed, []
    for _ in range(6):
        state = state.after_search(state.start(0.1, growth=1.1), trials=1)
        starts.append(state.step_size)
    assert starts == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1.0, 1.1])


def steady(k: int, last_searched: int) -> SearchState:
    """A state in which a search is due every ten steps."""
    return SearchState(k=k, last_searched=last_searched, fast=1.0, slow=1.0)
