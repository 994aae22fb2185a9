"""search="budget": extra forward passes stay within their share, whatever the losses are."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sls import ALSALS, SLS, AdamSLS, SaLSA, Status
from tests.sls.problems import PROBLEMS, vector_of

CLASSES: list[Callable[..., Any]] = [SLS, AdamSLS, ALSALS, SaLSA]
LOSSES = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=40)
FALLBACK_AND_HINT = 2
"""Evaluations of a search besides its trials."""


@settings(deadline=None, max_examples=40)
@given(
    cls=st.sampled_from(CLASSES),
    losses=LOSSES,
    share=st.floats(0.01, 1.5),
    max_trials=st.integers(1, 12),
)
def test_extra_forwards_stay_within_share_and_allowance(
    cls: Callable[..., Any], losses: list[float], share: float, max_trials: int
) -> None:
    w, calls = nn.Parameter(torch.ones(3)), [0]

    def closure() -> Tensor:
        calls[0] += 1
        return w.sum() * 1e-3 + losses[calls[0] % len(losses)]

    optimizer = cls([w], search="budget", max_extra_forwards=share, max_trials=max_trials)
    until_the_first_step = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 61):
            searching_for_the_first = optimizer.search_state.step_size is None
            optimizer.step(closure)
            extra = calls[0] - n
            if searching_for_the_first:
                until_the_first_step = extra
            one_search = max_trials + FALLBACK_AND_HINT
            assert extra <= max(until_the_first_step, share * n + one_search - 1)
            # The look whether the loss repeats, once, is not paid.
            assert optimizer.search_state.extra == extra - optimizer.hints.looked


@pytest.mark.parametrize("cls", CLASSES)
def test_one_trial_in_twenty_steps_at_a_twentieth(cls: Callable[..., Any]) -> None:
    module = PROBLEMS["network"]()
    optimizer = cls(module.parameters(), search="budget", init_step=1e-3)
    records = []
    for k in range(100):
        optimizer.step(lambda k=k: module(k))
        records.append(optimizer.last_step)
    assert [k for k, record in enumerate(records) if record.searched] == [0, 39, 59, 79, 99]


def test_between_searches_the_last_step_is_repeated() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters(), search="budget", init_step=1e-3)
    optimizer.step(lambda: module(0))
    first = optimizer.last_step
    optimizer.step(lambda: module(1))
    assert optimizer.last_step.status is Status.REPEATED
    assert optimizer.last_step.step_size == first.step_size


def test_an_expensive_first_search_is_paid_back_before_the_next() -> None:
    module = PROBLEMS["network"]()
    optimizer = SLS(module.parameters(), search="budget", init_step=1e3, max_extra_forwards=0.5)
    optimizer.step(lambda: module(0))
    trials = optimizer.last_step.trials
    assert trials > 10
    for k in range(1, 2 * trials + 1):
        optimizer.step(lambda k=k: module(k))
        assert not optimizer.last_step.searched
    optimizer.step(lambda: module(0))
    assert optimizer.last_step.searched


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    def walk(module: Any, optimizer: Any, steps: range) -> None:
        for k in steps:
            optimizer.step(lambda k=k: module(k))

    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters(), search="budget", max_extra_forwards=0.2)
    walk(module, optimizer, range(13))
    other = copy.deepcopy(module)
    resumed = ALSALS(other.parameters(), search="budget", max_extra_forwards=0.2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    walk(module, optimizer, range(13, 40))
    walk(other, resumed, range(13, 40))
    assert (vector_of(module) == vector_of(other)).all()
    assert resumed.search_state == optimizer.search_state
