"""The rule of the peak, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from sls import peak
from sls.judge import Judgement
from sls.peak import PeakState, next_step

# f(t) = 10 − 3t + 2t² along the step: the careful argmin of two equal judgements is 2(1−c)·3/4.
JUDGED = Judgement(gain=1.0, slope_far=1.0, step=0.5)
TARGET = 2 * (1 - peak.ARMIJO_SHARE) * 3.0 / 4.0


def judged_twice(step_size: float) -> PeakState:
    state = PeakState(k=1, step_size=step_size)
    for _ in range(2):
        state = state.with_judgement(JUDGED).with_slope(JUDGED.slope_far, JUDGED.step)
    return state


def test_two_judgements_of_one_parabola_make_its_careful_argmin_the_target() -> None:
    assert judged_twice(1e-3).target == pytest.approx(TARGET)


def test_one_judgement_moves_nothing() -> None:
    state = PeakState(k=1, step_size=1e-3).with_judgement(JUDGED).with_slope(1.0, 0.5)
    assert state.step_size == 1e-3
    assert state.target is None


def test_without_a_judgement_a_slope_says_nothing() -> None:
    state = PeakState(k=1, step_size=1e-3)
    assert state.with_slope(1.0, 0.5) == state


@pytest.mark.parametrize(
    ("step_size", "expected"),
    [
        (0.01, 0.01 * peak.FASTEST_RISE),
        (peak.NEAR * 0.99, peak.NEAR),
        (0.5, 0.5 * 2**peak.CREEP),
        (1.0, 1.0),
        (3.0, 3.0),
    ],
)
def test_the_step_rises_fast_then_creeps_and_never_falls(step_size: float, expected: float) -> None:
    assert next_step(step_size, target=1.0) == pytest.approx(expected)


def test_the_step_rises_without_a_target_and_stays_without_a_slope() -> None:
    assert next_step(1.0, math.inf) == peak.RISE_WITHOUT_TARGET
    assert next_step(1.0, 0.0) == 1.0


def judgements(total_steps: int | None, steps: int) -> list[int]:
    """The steps that judge, where every step has one before it."""
    state, found = PeakState(step_size=1e-3), []
    for _ in range(steps):
        if state.judgement_is_due:
            found.append(state.k)
            state = state.with_judgement(JUDGED)
        state = state.after_step(total_steps)
    return found


def test_judgements_become_rare() -> None:
    found = judgements(None, 200)
    assert found[:25] == [*range(1, 25), 26]
    pauses = [later - earlier for earlier, later in pairwise(found)]
    assert pauses == sorted(pauses)
    assert found[-1] - found[-2] == found[-2] // peak.PAUSE_SHARE


def test_judging_ends_after_its_share_of_a_run_of_known_length() -> None:
    assert max(judgements(50, 50)) == 19


def test_judging_ends_without_a_length_once_the_step_has_stopped_rising() -> None:
    state = PeakState(step_size=1e-3)
    while not state.settled:
        if state.k == 150:
            state = replace(state, step_size=2e-3)
        state = state.after_step(None)
    assert state.k == 300


def test_a_lowered_step_is_half() -> None:
    assert PeakState(step_size=1e-3).lowered().step_size == 5e-4
    assert PeakState().lowered().step_size is None


def test_the_state_is_plain() -> None:
    state = judged_twice(1e-3)
    assert PeakState.from_plain(json.loads(json.dumps(asdict(state)))) == state
