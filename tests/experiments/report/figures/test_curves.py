"""Runs of several seeds as one curve with a band."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.report.figures.curves import (
    MAX_POINTS,
    Curve,
    band,
    band_of_columns,
    held_to,
    smooth_curve,
    smoothed,
    thinned,
)


def curve(x, y):
    return Curve(np.array(x, dtype=float), np.array(y, dtype=float))


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 1999, 10_000, 123_457])
def test_thinning_leaves_no_more_points_than_are_drawn(number):
    found = thinned(np.ones(number))
    assert min(number, MAX_POINTS // 2) <= len(found) <= MAX_POINTS
    assert found == pytest.approx(np.ones(len(found)))


def test_a_thinned_value_is_the_mean_of_its_block():
    # 2,001 values are thinned to blocks of three: 0, 1, 2 and so on.
    found = thinned(np.arange(2001, dtype=float))
    assert found == pytest.approx(np.arange(667) * 3 + 1)


def test_values_that_are_not_finite_are_left_out_of_a_block():
    values = np.arange(2001, dtype=float)
    values[[0, 3, 4, 5]] = [np.inf, np.nan, np.nan, -np.inf]
    found = thinned(values)
    assert found[0] == pytest.approx(1.5)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(7.0)


def test_the_band_is_median_least_and_greatest():
    found = band([curve([0, 10], [0, 10]), curve([0, 10], [1, 11]), curve([0, 10], [5, 15])])
    assert found.middle == pytest.approx(found.x + 1)
    assert found.low == pytest.approx(found.x)
    assert found.high == pytest.approx(found.x + 5)


def test_a_run_is_not_prolonged_beyond_its_end():
    found = band([curve([0, 10], [1, 1]), curve([0, 4], [3, 3])])
    early, late = found.x <= 4, found.x > 4.1
    assert found.x[-1] == 10
    assert found.middle[early] == pytest.approx(np.full(early.sum(), 2.0))
    assert found.high[late] == pytest.approx(np.ones(late.sum()))


def test_the_grid_of_seconds_spans_the_slowest_run():
    found = band([curve([1, 50], [1, 1]), curve([2, 80], [1, 1])])
    assert (found.x[0], found.x[-1]) == (1.0, 80.0)


def test_a_curve_is_held_at_its_last_value_and_never_cut():
    found = held_to(curve([0, 4], [1, 3]), 10.0)
    assert (list(found.x), list(found.y)) == ([0, 4, 10], [1, 3, 3])
    assert list(held_to(found, 5.0).x) == [0, 4, 10]
    assert len(held_to(curve([], []), 5.0).x) == 0


def test_a_column_without_any_number_is_a_gap():
    table = np.array([[1.0, np.nan, np.inf], [3.0, np.nan, 7.0]])
    found = band_of_columns(np.arange(3.0), table)
    assert found.middle == pytest.approx([2.0, np.nan, 7.0], nan_ok=True)


def test_a_run_of_nothing_but_nan_has_no_points():
    nothing = smooth_curve(np.arange(30.0), np.full(30, np.nan))
    assert len(nothing.x) == 0
    assert len(band([nothing]).x) == 0
    assert band([nothing, curve([0, 1], [2, 2])]).middle[0] == 2


def test_the_smoothed_curve_starts_at_the_first_value_and_follows_the_mean():
    assert smoothed(np.full(300, 0.7)) == pytest.approx(np.full(300, 0.7))
    noise = np.random.default_rng(0).normal(3.0, 1.0, 1000)
    assert np.abs(smoothed(noise)[200:] - 3.0).max() < 1.0 < np.abs(noise[200:] - 3.0).max()


def test_values_that_are_not_finite_leave_a_gap_and_spoil_nothing():
    values = np.ones(100)
    values[50] = np.nan
    found = smoothed(values)
    assert np.isnan(found[50])
    assert found[51:] == pytest.approx(np.ones(49))
