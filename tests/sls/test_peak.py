"""The rule of the peak, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, replace

import pytest

from sls.judge import Judgement
from sls.peak import PeakState, Phase, next_step

# f(t) = 10 − 3t + 2t² along the step: slopes 3 at its start and 1 at its end, curvature 4. Two
# equal judgements have no error, so that the careful argmin is the argmin, ¾.
PARABOLA = Judgement(gain=1.0, slope_far=1.0, step=0.5)
# f(t) = 10 + t + 2t²: every step is a loss.
UPHILL = Judgement(gain=-1.0, slope_far=-3.0, step=0.5)
# f(t) = 10 − 3t: nothing bounds the step.
STRAIGHT = Judgement(gain=1.5, slope_far=3.0, step=0.5)


def judged(step_size: float, judgements: Iterable[Judgement]) -> PeakState:
    state = PeakState(k=1, step_size=step_size)
    for judgement in judgements:
        state = state.with_judgement(judgement)
    return state


def settling(**others: object) -> PeakState:
    """A state that settles at a step of 1 whose peak was seen."""
    state = PeakState(k=10, step_size=1.0, phase=Phase.SETTLING, seen=True)
    return replace(state, **others)  # type: ignore[arg-type]


# --- rising --------------------------------------------------------------------------------------


def test_two_judgements_of_one_parabola_make_its_argmin_the_target() -> None:
    assert judged(1e-3, [PARABOLA] * 2).target == pytest.approx(0.75)


def test_the_target_is_careful_of_both_errors() -> None:
    """Slopes 4 and 6, each the far one plus ½, the step, times the mean curvature; q is 4 twice.

    Weights 0.09 and 0.1: mean 0.96/0.19, n = 0.19²/0.0181, variance 4·0.09·0.1/0.19².
    """
    lower, higher = (Judgement(gain=(2 * p + 2) / 4, slope_far=p, step=0.5) for p in (2.0, 4.0))
    n = 0.19**2 / 0.0181
    error = math.sqrt(4 * 0.009 / 0.19**2 / (n - 1))
    expected = (0.96 / 0.19 - error) / 4
    assert judged(1e-3, [lower, higher]).target == pytest.approx(expected)


def test_one_judgement_moves_nothing() -> None:
    state = judged(1e-3, [PARABOLA])
    assert (state.step_size, state.target, state.phase) == (1e-3, None, Phase.RISING)


@pytest.mark.parametrize(
    ("step_size", "target", "expected"),
    [
        pytest.param(0.01, 1.0, 0.014, id="far below it rises by 1.4"),
        pytest.param(0.29, 1.0, 0.3, id="up to 0.3 of the target"),
        pytest.param(0.5, 1.0, 0.5, id="beyond that it stays"),
        pytest.param(3.0, 1.0, 3.0, id="beyond the target it stays too"),
        pytest.param(1.0, math.inf, 1.2, id="without a bound it rises by 1.2"),
        pytest.param(1.0, 0.0, 1.0, id="without a gain it stays"),
    ],
)
def test_the_next_step_of_the_rise(step_size: float, target: float, expected: float) -> None:
    assert next_step(step_size, target) == pytest.approx(expected)


def test_a_judgement_moves_the_step_by_the_rise() -> None:
    assert judged(0.01, [PARABOLA] * 2).step_size == pytest.approx(0.014)


def test_the_rise_goes_on_below_the_share_of_the_target() -> None:
    state = judged(0.01, [PARABOLA] * 2)
    assert (state.phase, state.seen) == (Phase.RISING, False)


def test_the_rise_ends_at_the_share_of_the_target() -> None:
    """From 0.2 to 0.3·¾ = 0.225."""
    state = judged(0.2, [PARABOLA] * 2)
    assert state.step_size == pytest.approx(0.225)
    assert (state.phase, state.seen) == (Phase.SETTLING, True)


def test_the_rise_does_not_end_at_a_target_that_nothing_bounds() -> None:
    state = judged(1e9, [STRAIGHT] * 3)
    assert (state.target, state.phase) == (math.inf, Phase.RISING)
    assert state.step_size == pytest.approx(1.44e9)


def test_twelve_doubts_end_the_rise_where_it_is() -> None:
    """The first of thirteen judgements knows no error yet, and is no doubt."""
    twelve = judged(1e-3, [UPHILL] * 12)
    assert (twelve.doubts, twelve.phase) == (11, Phase.RISING)
    thirteen = twelve.with_judgement(UPHILL)
    assert (thirteen.phase, thirteen.seen, thirteen.step_size) == (Phase.SETTLING, False, 1e-3)


def test_doubts_need_not_follow_each_other() -> None:
    state = replace(judged(1e-3, [PARABOLA] * 4), doubts=11)
    assert state.with_judgement(replace(UPHILL, gain=-100.0)).phase is Phase.SETTLING


def test_sixty_judgements_end_the_rise_where_it_is() -> None:
    state = judged(1e-12, [STRAIGHT] * 59)
    assert state.phase is Phase.RISING
    sixtieth = state.with_judgement(STRAIGHT)
    assert (sixtieth.phase, sixtieth.seen) == (Phase.SETTLING, False)
    assert sixtieth.step_size == pytest.approx(1e-12 * 1.2**59)


def test_while_rising_every_step_starts_from_an_anchor_of_its_own() -> None:
    state = PeakState(step_size=1e-3)
    for _ in range(5):
        assert state.anchor_is_due
        state = state.after_step(None)
        assert not state.anchor_is_due
        state = state.with_judgement(PARABOLA)


# --- settling ------------------------------------------------------------------------------------


def test_persistence_is_the_faded_share_of_the_slopes() -> None:
    """(0.64·2 − 0.8·1 + 1)/(0.64·2 + 0.8·1 + 1) = 1.48/3.08."""
    state = settling()
    for slope in (2.0, -1.0, 1.0):
        state = state.with_slope(slope)
    assert state.persistence == pytest.approx(1.48 / 3.08)


def test_persistence_goes_on_from_window_to_window() -> None:
    state = settling(place=8).with_slope(2.0).after_step(None).with_slope(-1.0)
    assert state.persistence == pytest.approx((1.6 - 1) / 2.6)


def test_without_a_slope_there_is_no_persistence() -> None:
    assert PeakState().persistence is None


def test_slopes_of_zero_leave_the_step() -> None:
    state = settling().with_slope(0.0)
    assert (state.persistence, state.step_size) == (None, 1.0)


@pytest.mark.parametrize(
    ("window", "pull", "expected"),
    [
        # The slope is 1, the sums before it are `pull` and 1.25: n = (0.8·pull + 1)/2.
        pytest.param(0, -2.5, 1.0, id="n = −½ leaves the step"),
        pytest.param(0, -2.25, math.exp(1.5 / 8 * 0.1), id="n = −0.4"),
        pytest.param(0, -2.75, math.exp(-1.5 / 8 * 0.1), id="n = −0.6"),
        pytest.param(6, -2.25, math.exp(0.75 / 8 * 0.1), id="half the gain in window 6"),
        pytest.param(0, 1.25, 1.02, id="n = 1 rises by no more than 1.02"),
        pytest.param(0, -3.75, 1 / 1.02, id="n = −1 falls by no more than 1.02"),
        pytest.param(7, 1.25, 1.02, id="the greatest rise is the same in window 7"),
    ],
)
def test_the_factor_of_a_settling_step(window: int, pull: float, expected: float) -> None:
    state = settling(window=window, pull=pull, size=1.25).with_slope(1.0)
    assert state.step_size == pytest.approx(expected)


@pytest.mark.parametrize(
    ("slope", "expected"),
    [pytest.param(1.0, 1.1, id="persists"), pytest.param(-1.0, 1 / 1.02, id="turns back")],
)
def test_a_step_whose_peak_was_never_seen_moves_by_the_sign_alone(
    slope: float, expected: float
) -> None:
    assert settling(seen=False).with_slope(slope).step_size == pytest.approx(expected)


def anchors_dropped(state: PeakState, steps: int, total_steps: int | None = None) -> list[int]:
    """The steps that start from a new anchor, until the peak is held."""
    due = []
    for step in range(steps):
        if not state.anchor_is_due and not state.held:
            state = state.with_slope(1.0)
        if state.anchor_is_due:
            due.append(step)
        state = state.after_step(total_steps)
    return due


def test_a_window_is_eight_steps() -> None:
    assert anchors_dropped(settling(), 30) == [0, 8, 16, 24]


def settled_after(state: PeakState, total_steps: int | None) -> int:
    """The number of calls of `step` after which the peak is held."""
    while not state.held:
        if not state.anchor_is_due:
            state = state.with_slope(1.0)
        state = state.after_step(total_steps)
    return state.k


def test_the_peak_is_held_after_eight_windows() -> None:
    """The 65th step sees the slope of the 64th before it is taken itself."""
    assert settled_after(settling(k=0), None) == 65


def test_the_peak_is_held_at_two_fifths_of_the_run_at_the_latest() -> None:
    assert settled_after(settling(k=0), 50) == 20


def test_a_rise_ends_at_two_fifths_of_the_run_too() -> None:
    state = replace(PeakState(step_size=1e-3), k=19, place=1)
    assert state.after_step(50).phase is Phase.HELD


def test_a_held_peak_needs_no_anchor() -> None:
    assert not settling(phase=Phase.HELD, place=0).anchor_is_due


# --- all phases ----------------------------------------------------------------------------------


def test_a_lowered_step_is_half() -> None:
    assert PeakState(step_size=1e-3).lowered().step_size == 5e-4


def test_lowering_before_the_first_step_does_nothing() -> None:
    assert PeakState().lowered() == PeakState()


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(PeakState(), id="new"),
        pytest.param(judged(0.01, [PARABOLA] * 2), id="rising"),
        pytest.param(judged(0.2, [PARABOLA] * 2).after_step(None).with_slope(1.0), id="settling"),
        pytest.param(settling(phase=Phase.HELD), id="held"),
    ],
)
def test_the_state_is_plain(state: PeakState) -> None:
    assert PeakState.from_plain(json.loads(json.dumps(asdict(state)))) == state
