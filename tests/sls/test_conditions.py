"""Armijo's condition and its smoothed forms, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls.conditions import Armijo, Condition, Memory, RatioArmijo, SmoothedArmijo, rounding

NUMBER = st.floats(-1e3, 1e3)
SHARE = st.floats(0.01, 0.99)
START = Memory()


def test_armijo_asks_for_the_share_of_the_predicted_decrease() -> None:
    condition = Armijo(c=0.25)
    assert condition.holds(0.5, 1.0, 8.0, START)
    assert not condition.holds(0.5, 0.999, 8.0, START)


@pytest.mark.parametrize("smoothed", [SmoothedArmijo, RatioArmijo])
@given(c=SHARE, slope=st.floats(0.01, 1e3), eta=st.floats(1e-3, 1e3), decrease=NUMBER)
def test_without_memory_the_smoothed_conditions_are_armijos(
    smoothed: type[Condition], c: float, slope: float, eta: float, decrease: float
) -> None:
    trial = (eta, decrease, slope, START)
    assert Armijo(c).holds(*trial) == smoothed(c, 0.0).holds(*trial)


def test_smoothed_means_by_hand() -> None:
    condition, memory = SmoothedArmijo(0.3, 0.5), Memory(h=2.0, s=4.0)
    # s = (4 + 6)/2 = 5. Asked for: h_try ≥ 0.3·1·5 = 1.5, and h_try = (2 + Δ)/2, so Δ ≥ 1.
    assert condition.least_decrease(1.0, 6.0, memory) == 1.0
    assert condition.holds(1.0, 1.0, 6.0, memory)
    assert not condition.holds(1.0, 0.999, 6.0, memory)
    assert condition.memory_after(1.0, 1.0, 6.0, memory) == Memory(h=1.5, s=5.0)


def test_along_an_ascent_direction_the_loss_may_rise_by_a_bounded_amount() -> None:
    # Asked for: Δ ≥ (1/0.5)·1·(−3) = −6.
    assert SmoothedArmijo(0.5, 0.0).holds(1.0, -6.0, -3.0, START)
    assert not SmoothedArmijo(0.5, 0.0).holds(1.0, -6.001, -3.0, START)


def test_means_of_the_ratio_by_hand() -> None:
    condition, memory = RatioArmijo(c=0.25, beta3=0.5), Memory(h=2.0, s=4.0)
    # At η = 2: s_try = (4 + 12)/2 = 8, asked for is h_try = (2 + Δ)/2 ≥ 0.25·8, so Δ ≥ 2.
    assert condition.least_decrease(2.0, 6.0, memory) == 2.0
    assert condition.holds(2.0, 2.0, 6.0, memory)
    assert not condition.holds(2.0, 1.999, 6.0, memory)
    assert condition.memory_after(2.0, 2.0, 6.0, memory) == Memory(h=2.0, s=8.0)


def test_a_large_first_slope_lets_a_later_rise_pass_with_the_papers_means_only() -> None:
    # The first step, η = 1, just makes the share 1/4 of its slope 1024; the second has η = 1/2.
    smoothed, ratio = SmoothedArmijo(0.25, 0.5), RatioArmijo(0.25, 0.5)
    first = (1.0, 256.0, 1024.0, START)
    assert smoothed.holds(0.5, -60.0, 1.0, smoothed.memory_after(*first))
    assert ratio.holds(0.5, 0.125, 1.0, ratio.memory_after(*first))  # c·η·p
    assert not ratio.holds(0.5, 0.124, 1.0, ratio.memory_after(*first))


@given(loss=NUMBER, loss_next=NUMBER)
def test_rounding_is_never_negative_and_knows_no_sign(loss: float, loss_next: float) -> None:
    assert rounding(loss, loss_next, 1e-7) == rounding(-loss, -loss_next, 1e-7) >= 0


def test_armijo_remembers_nothing() -> None:
    assert Armijo(0.1).memory_after(0.5, 3.0, 1.0, START) == START


@pytest.mark.parametrize("beta3", [0.0, 0.9, 0.99])
def test_mean_of_slopes_starts_at_zero_without_bias_correction(beta3: float) -> None:
    after = SmoothedArmijo(0.3, beta3).memory_after(1.0, 1.0, 10.0, START)
    assert after.s == pytest.approx((1 - beta3) * 10.0)


@pytest.mark.parametrize("s_before", [1.0, -1.0])
@given(eta=st.floats(1e-3, 10), slope=st.floats(-5, 5), h=st.floats(-1, 1))
def test_the_least_decrease_is_where_the_condition_turns(
    s_before: float, eta: float, slope: float, h: float
) -> None:
    memory = Memory(h, s_before)
    for condition in (Armijo(0.1), SmoothedArmijo(0.3, 0.9), RatioArmijo(0.3, 0.9)):
        least = condition.least_decrease(eta, slope, memory)
        assert condition.holds(eta, least + 1e-6, slope, memory)
        assert not condition.holds(eta, least - 1e-6, slope, memory)
