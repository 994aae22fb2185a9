"""The best rate: by score, then validation loss, then the rate; or by validation loss.

Each case is decided by hand.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from experiments.tuning import Outcome, best, best_rate

Trial = tuple[float, dict[str, Any]]


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


# ---------------------------------------------------------------------- of tuning runs


def trial(lr: float, final: dict[str, Any] | None, **values: Any) -> Trial:
    summary = {"status": "finished", "steps": 10, "score": "mcc", "final": final}
    return lr, summary | {"score_is_loss": False} | values


def loss_trial(lr: float, loss: float, **values: Any) -> Trial:
    return trial(lr, {"val_loss": loss}, score="val_loss", score_is_loss=True, **values)


def test_a_higher_score_wins_and_the_budget_is_counted() -> None:
    best = best_rate(
        [
            trial(0.1, {"mcc": 0.5, "val_loss": 0.1}),
            trial(0.3, {"mcc": 0.75, "val_loss": 0.9}),
            trial(1.0, {"mcc": 0.25, "val_loss": 0.2}, steps=7),
        ]
    )
    assert (best.lr, best.score, best.score_name) == (0.3, 0.75, "mcc")
    assert (best.runs, best.steps) == (3, 27)


def test_a_lower_loss_wins() -> None:
    best = best_rate([loss_trial(0.1, 2.5), loss_trial(0.3, 2.0), loss_trial(1.0, 3.0)])
    assert (best.lr, best.score) == (0.3, 2.0)


def test_summaries_that_do_not_say_it_have_val_loss_as_their_only_loss() -> None:
    trials = [loss_trial(0.1, 2.5), loss_trial(0.3, 2.0)]
    old = [
        (lr, {k: v for k, v in summary.items() if k != "score_is_loss"}) for lr, summary in trials
    ]
    assert best_rate(old).lr == 0.3


def test_of_equal_scores_the_lower_loss_then_the_lower_rate_wins() -> None:
    equal = [(0.3, 0.5), (0.1, 0.5), (1.0, 0.5), (3.0, 0.9)]
    assert best_rate([trial(lr, {"mcc": 0.5, "val_loss": loss}) for lr, loss in equal]).lr == 0.1
    assert (
        best_rate(
            [trial(0.1, {"mcc": 0.5, "val_loss": 0.5}), trial(0.3, {"mcc": 0.5, "val_loss": 0.4})]
        ).lr
        == 0.3
    )


def test_by_val_loss_the_lowest_loss_wins_whatever_the_score() -> None:
    trials = [
        trial(0.1, {"mcc": 0.9, "val_loss": 0.75}),
        trial(0.3, {"mcc": 0.1, "val_loss": 0.5}),
    ]
    best = best_rate(trials, "val_loss")
    assert (best.lr, best.score, best.score_name) == (0.3, 0.5, "val_loss")


def test_by_val_loss_a_rate_that_diverged_is_no_candidate() -> None:
    trials = [
        trial(0.1, {"mcc": 0.1, "val_loss": 0.75}),
        trial(0.3, {"mcc": 0.9, "val_loss": 0.5}, status="diverged"),
    ]
    assert best_rate(trials, "val_loss").lr == 0.1


def test_seeds_are_averaged() -> None:
    scores = {0.1: (0.9, 0.1), 0.3: (0.6, 0.6)}
    best = best_rate(
        [
            trial(lr, {"mcc": score, "val_loss": 1.0})
            for lr, pair in scores.items()
            for score in pair
        ]
    )
    assert (best.lr, best.score) == (0.3, pytest.approx(0.6))


@pytest.mark.parametrize(
    "bad",
    [
        trial(1.0, {"mcc": 0.9, "val_loss": 0.0}, status="diverged"),
        trial(1.0, {"mcc": None, "val_loss": 0.0}),
        trial(1.0, {"val_loss": 0.0}),
        trial(1.0, None, status="diverged"),
    ],
    ids=["diverged", "not finite", "no score", "no evaluation"],
)
def test_a_rate_without_a_score_is_no_candidate(bad: Trial) -> None:
    good = trial(0.1, {"mcc": 0.2, "val_loss": 5.0})
    # The second seed of the bad rate does not save it.
    second = trial(1.0, {"mcc": 0.95, "val_loss": 0.0})
    assert best_rate([good, good, bad, second]).lr == 0.1


def test_where_all_diverged_it_says_so() -> None:
    trials = [trial(lr, {"mcc": 0.1}, status="diverged") for lr in (0.1, 0.3)]
    assert best_rate(trials) == "all 2 tuning runs diverged or were stuck; try other rates"


def test_it_waits_for_every_run() -> None:
    trials = [trial(0.1, {"mcc": 0.5}), (0.3, None)]
    assert best_rate(trials) == "1 of 2 tuning runs have not ended"
