"""Judgements and means that know their error, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls.judge import Judgement, RunningMean, confident_ratio


def mean_of(values: list[float], beta: float) -> RunningMean:
    mean = RunningMean()
    for value in values:
        mean = mean.with_value(value, beta)
    return mean


def test_the_parabola_of_a_quadratic_is_the_quadratic() -> None:
    """f(t) = 10 − 3t + 2t² along −d, η = ½: gain 1, slopes 3 and 1, curvature 4."""
    judged = Judgement(gain=1.0, slope_far=1.0, step=0.5)
    assert judged.slope_near == 3.0
    assert judged.curvature == 4.0


def test_two_values() -> None:
    """Weights ¼ and ½: mean (1·¼ + 4·½)/¾ = 3, scatter ¼·4 + ½·1 = 3/2, W²/W₂ = 9/5."""
    mean = mean_of([1.0, 4.0], 0.5)
    assert (mean.weight, mean.squares) == (0.75, 0.3125)
    assert mean.mean == pytest.approx(3.0)
    assert mean.count == pytest.approx(1.8)
    assert mean.scatter == pytest.approx(1.5)
    assert mean.error == pytest.approx(math.sqrt(2.0 / 0.8))


def test_one_value_is_its_own_mean_and_knows_no_error() -> None:
    mean = mean_of([7.0], 0.9)
    assert mean.mean == 7.0
    assert mean.error == math.inf
    assert RunningMean().count == 0


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), beta=st.floats(0.1, 0.99))
def test_the_updates_are_the_weighted_sums(values: list[float], beta: float) -> None:
    weights = [(1 - beta) * beta**age for age in range(len(values))][::-1]
    total = sum(weights)
    expected = sum(w * x for w, x in zip(weights, values, strict=True)) / total
    scatter = sum(w * (x - expected) ** 2 for w, x in zip(weights, values, strict=True))
    mean = mean_of(values, beta)
    assert mean.mean == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert mean.scatter == pytest.approx(scatter, rel=1e-6, abs=1e-6)
    assert mean.squares == pytest.approx(sum(w * w for w in weights))


def with_error(mean: float, error: float) -> RunningMean:
    """Two values of equal weight: n = 2, so that the error is √scatter."""
    return RunningMean(weight=1.0, squares=0.5, mean=mean, scatter=error**2)


def test_the_careful_ratio() -> None:
    assert confident_ratio(with_error(4.0, 1.0), with_error(1.0, 0.5), 1.0) == pytest.approx(2.0)


def test_nothing_is_sure_where_the_numerator_may_be_negative() -> None:
    assert confident_ratio(with_error(1.0, 1.0), with_error(1.0, 0.0), 1.0) == 0.0
    assert confident_ratio(mean_of([1.0], 0.9), with_error(1.0, 0.0), 1.0) == 0.0


def test_nothing_bounds_where_the_denominator_is_surely_negative() -> None:
    assert confident_ratio(with_error(4.0, 1.0), with_error(-1.0, 0.5), 1.0) == math.inf
