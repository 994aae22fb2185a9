"""The order of rates: score, then validation loss, then the rate itself."""

from __future__ import annotations

import math

import pytest

from experiments.tuning_rule import badness


@pytest.mark.parametrize(
    ("better", "worse", "lower_is_better"),
    [
        ((0.9, 5.0, 1.0), (0.8, 1.0, 0.1), False),
        ((0.8, 5.0, 1.0), (0.9, 1.0, 0.1), True),
        ((0.9, 1.0, 1.0), (0.9, 5.0, 0.1), False),
        ((0.9, 5.0, 1.0), (0.9, math.nan, 0.1), False),
        ((0.9, 1.0, 0.1), (0.9, 1.0, 1.0), False),
    ],
    ids=["score", "score is a loss", "loss", "a loss that is no number", "rate"],
)
def test_the_better_rate_comes_first(better, worse, lower_is_better):
    ranked = sorted([worse, better], key=lambda of: badness(*of, lower_is_better=lower_is_better))
    assert ranked == [better, worse]
