"""The best rate: by score, then validation loss, then the rate; or by validation loss."""

from __future__ import annotations

import math

import pytest

from experiments.tuning import Outcome, best


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Outcome(1.0, 0.9, False, 5.0), Outcome(0.1, 0.8, False, 1.0)),
        (Outcome(1.0, 0.8, True, 5.0), Outcome(0.1, 0.9, True, 1.0)),
        (Outcome(1.0, 0.9, False, 1.0), Outcome(0.1, 0.9, False, 5.0)),
        (Outcome(1.0, 0.9, False, 5.0), Outcome(0.1, 0.9, False, math.nan)),
        (Outcome(0.1, 0.9, False, 1.0), Outcome(1.0, 0.9, False, 1.0)),
        (Outcome(1.0, 0.1, False, 1.0), Outcome(0.1, math.nan, False, 1.0)),
    ],
    ids=["score", "score is a loss", "loss", "a loss that is no number", "rate", "no score"],
)
def test_the_score_decides(better: Outcome, worse: Outcome) -> None:
    assert best([worse, better], "score") == better


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Outcome(1.0, 0.8, False, 1.0), Outcome(0.1, 0.9, False, 5.0)),
        (Outcome(0.1, 0.8, False, 1.0), Outcome(1.0, 0.9, False, 1.0)),
        (Outcome(1.0, 0.8, False, 5.0), Outcome(0.1, 0.9, False, math.nan)),
    ],
    ids=["loss", "rate", "no loss"],
)
def test_the_validation_loss_decides(better: Outcome, worse: Outcome) -> None:
    assert best([worse, better], "val_loss") == better


def test_without_a_finite_number_there_is_no_best_rate() -> None:
    assert best([Outcome(0.1, math.nan, False, 1.0)], "score") is None
