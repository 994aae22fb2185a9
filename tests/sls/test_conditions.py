"""Armijo's condition and its smoothed forms, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls.conditions import Armijo, Memory, RatioArmijo, SmoothedArmijo, rounding

NUMBER = st.floats(-1e3, 1e3)
SHARE = st.floats(0.01, 0.99)


def test_armijo_asks_for_the_share_of_the_predicted_decrease() -> None:
    condition = Armijo(c=0.25, slope=8.0)
    assert condition.holds(step_size=0.5, decrease=1.0)
    assert not condition.holds(step_size=0.5, decrease=0.999)


@given(c=SHARE, slope=st.floats(0.01, 1e3), eta=st.floats(1e-3, 1e3), decrease=NUMBER)
def test_without_memory_the_smoothed_condition_is_armijos(
    c: float, slope: float, eta: float, decrease: float
) -> None:
    plain, smoothed = Armijo(c, slope), SmoothedArmijo.with_slope(c, 0.0, Memory(), slope)
    assert plain.holds(eta, decrease) == smoothed.holds(eta, decrease)


def test_smoothed_means_by_hand() -> None:
    condition = SmoothedArmijo.with_slope(0.3, 0.5, Memory(h=2.0, s=4.0), slope=6.0)
    assert condition.s == 5.0  # (4 + 6)/2
    # Asked for: h_try ≥ 0.3·1·5 = 1.5, and h_try = (2 + Δ)/2, so Δ ≥ 1.
    assert condition.holds(1.0, 1.0)
    assert not condition.holds(1.0, 0.999)
    assert condition.memory_after(1.0, 1.0) == Memory(h=1.5, s=5.0)


def test_along_an_ascent_direction_the_loss_may_rise_by_a_bounded_amount() -> None:
    condition = SmoothedArmijo.with_slope(0.5, 0.0, Memory(), slope=-3.0)
    # Asked for: Δ ≥ (1/0.5)·1·(−3) = −6.
    assert condition.holds(1.0, -6.0)
    assert not condition.holds(1.0, -6.001)


def test_means_of_the_ratio_by_hand() -> None:
    condition = RatioArmijo(c=0.25, beta3=0.5, h=2.0, s=4.0, slope=6.0)
    # At η = 2: s_try = (4 + 12)/2 = 8, asked for is h_try = (2 + Δ)/2 ≥ 0.25·8, so Δ ≥ 2.
    assert condition.holds(2.0, 2.0)
    assert not condition.holds(2.0, 1.999)
    assert condition.memory_after(2.0, 2.0) == Memory(h=2.0, s=8.0)


@given(c=SHARE, slope=st.floats(0.01, 1e3), eta=st.floats(1e-3, 1e3), decrease=NUMBER)
def test_the_first_step_by_ratio_is_armijos(
    c: float, slope: float, eta: float, decrease: float
) -> None:
    plain, ratio = Armijo(c, slope), RatioArmijo(c, 0.0, 0.0, 0.0, slope)
    assert plain.holds(eta, decrease) == ratio.holds(eta, decrease)


def test_a_large_first_slope_lets_a_later_rise_pass_with_the_papers_means_only() -> None:
    # The first step, η = 1, just makes the share 1/4 of its slope 1024; the second has η = 1/2.
    first = SmoothedArmijo.with_slope(0.25, 0.5, Memory(), 1024.0)
    second = SmoothedArmijo.with_slope(0.25, 0.5, first.memory_after(1.0, 256.0), 1.0)
    assert second.holds(0.5, -60.0)
    by_ratio = RatioArmijo(0.25, 0.5, 0.0, 0.0, 1024.0).memory_after(1.0, 256.0)
    ratio = RatioArmijo(0.25, 0.5, by_ratio.h, by_ratio.s, 1.0)
    assert ratio.holds(0.5, 0.125)  # c·η·p
    assert not ratio.holds(0.5, 0.124)


@given(loss=NUMBER, loss_next=NUMBER)
def test_rounding_is_never_negative_and_knows_no_sign(loss: float, loss_next: float) -> None:
    assert rounding(loss, loss_next, 1e-7) == rounding(-loss, -loss_next, 1e-7) >= 0


def test_armijo_remembers_nothing() -> None:
    assert Armijo(0.1, 1.0).memory_after(0.5, 3.0) == Memory()


@pytest.mark.parametrize("beta3", [0.0, 0.9, 0.99])
def test_mean_of_slopes_starts_at_zero_without_bias_correction(beta3: float) -> None:
    condition = SmoothedArmijo.with_slope(0.3, beta3, Memory(), slope=10.0)
    assert condition.s == pytest.approx((1 - beta3) * 10.0)


@pytest.mark.parametrize("s_before", [1.0, -1.0])
@given(eta=st.floats(1e-3, 10), slope=st.floats(-5, 5), h=st.floats(-1, 1))
def test_the_largest_loss_is_where_the_condition_turns(
    s_before: float, eta: float, slope: float, h: float
) -> None:
    smoothed = SmoothedArmijo.with_slope(0.3, 0.9, Memory(h, s_before), slope)
    ratio = RatioArmijo(0.3, 0.9, h, s_before, slope)
    for condition in (Armijo(0.1, slope), smoothed, ratio):
        limit = condition.largest_loss(eta, 2.0)
        assert condition.holds(eta, 2.0 - (limit - 1e-6))
        assert not condition.holds(eta, 2.0 - (limit + 1e-6))
