"""Differences and their p-values, against brute force and by hand."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.report.numbers.cells import FINAL_SCORE, Comparison
from experiments.report.numbers.significance import (
    Difference,
    difference,
    loss_ratios,
    numbers_of_pairs,
    over_rows_table,
    paired_tables,
    smallest_p,
)
from experiments.report.read.runs import read_results
from tests.experiments.report.folders import write_run
from tests.reference.sign_flip import resampled_means, sign_flip_p

# Multiples of 1/8 are exact as floats, so that ties are ties in both ways of counting.
EIGHTHS = st.integers(-40, 40).map(lambda k: Fraction(k, 8))


@settings(max_examples=40, deadline=None)
@given(st.lists(EIGHTHS, min_size=1, max_size=8))
def test_p_is_that_of_all_signs_one_by_one(values: list[Fraction]) -> None:
    assert difference([float(v) for v in values]).p == pytest.approx(float(sign_flip_p(values)))


@settings(max_examples=25, deadline=None)
@given(st.lists(EIGHTHS, min_size=2, max_size=5))
def test_the_interval_holds_the_middle_95_percent_of_all_resamples(values: list[Fraction]) -> None:
    means = resampled_means(values)
    found = difference([float(v) for v in values])
    tail = Fraction(25, 1000)
    low = means[math.ceil(tail * len(means)) - 1]
    high = means[math.ceil((1 - tail) * len(means)) - 1]
    assert (found.low, found.high) == pytest.approx((float(low), float(high)))


def test_an_interval_of_many_values_is_near_the_normal_one() -> None:
    draw = random.Random(0)
    values = [draw.gauss(1.0, 1.0) for _ in range(400)]
    found = difference(values)
    mean = sum(values) / 400
    assert (found.low, found.high) == pytest.approx((mean - 0.098, mean + 0.098), abs=0.02)


def test_the_order_of_the_values_makes_no_difference() -> None:
    values = [0.1, 0.7, -0.3, 0.2, 0.9, 1.1, 0.3, 0.4, 0.6, 0.25]
    shuffled = random.Random(1).sample(values, len(values))
    assert difference(values) == difference(shuffled)


def test_five_seeds_that_all_agree_give_the_smallest_p() -> None:
    found = difference([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.p == pytest.approx(0.0625)
    assert smallest_p(5) == 0.0625


def test_plain_words() -> None:
    def words(n: int, mean: float, p: float) -> str:
        return Difference(n, mean, 0.0, 0.0, p).verdict(higher_is_better=True)

    assert words(5, 1.0, 0.0625) == "5 seeds are too few: the smallest possible p is 0.0625"
    assert words(1, 1.0, 1.0) == "1 seed is too few"
    assert words(6, 1.0, 0.03125) == "better"
    assert words(6, -1.0, 0.03125) == "worse"
    assert words(6, 1.0, 0.5) == "no difference shown"


@pytest.fixture
def three_seeds(tmp_path: Path) -> Comparison:
    """alsals - adam: 0.125, 0.25, -0.125 at seeds 0, 1, 2; seeds 3 and 4 have one of them only."""
    adam = {0: 0.5, 1: 0.25, 2: 0.75, 3: 0.1}
    alsals = {0: 0.625, 1: 0.5, 2: 0.625, 4: 0.9}
    for seed, score in adam.items():
        write_run(tmp_path, seed=seed, scores=(0.0, score), train_losses=(1, 0.5))
    for seed, score in alsals.items():
        write_run(
            tmp_path,
            optimizer="alsals",
            seed=seed,
            scores=(0.0, score),
            train_losses=(1, 0.125),
        )
    return Comparison(read_results(tmp_path))


def test_pairs_are_of_the_same_seed(three_seeds: Comparison) -> None:
    ours, theirs = three_seeds.pairs("mrpc_bert", "alsals", "adam", FINAL_SCORE)
    assert list(ours - theirs) == [0.125, 0.25, -0.125]


def test_the_paired_table(three_seeds: Comparison) -> None:
    # Sums of ±1/8 ±2/8 ±1/8 as far from 0 as 2/8: all but ±(1 - 2 + 1)/8 = 0, so 6 of 8.
    score, _ = paired_tables(three_seeds)
    [row] = score.rows
    assert numbers_of_pairs(three_seeds) == [3]
    texts = [cell.text for cell in row]
    assert texts[:5] == ["MRPC · BERT", "ALSALS", "Adam", "3", "+0.0833"]
    assert texts[6:] == ["0.75", "3 seeds are too few"]


def test_over_rows_losses_are_compared_as_ratios(three_seeds: Comparison) -> None:
    assert loss_ratios(three_seeds)["alsals"].mean == pytest.approx(math.log(0.25))
    [row] = over_rows_table(three_seeds).rows
    assert [cell.text for cell in row[:3]] == ["ALSALS", "1", "0.25"]


def test_without_adam_nothing_is_compared(tmp_path: Path) -> None:
    write_run(tmp_path, optimizer="alsals")
    comparison = Comparison(read_results(tmp_path))
    assert [table.rows for table in paired_tables(comparison)] == [(), ()]
    assert over_rows_table(comparison).rows == ()


def test_the_baseline_is_the_best_of_several_adams(tmp_path: Path) -> None:
    write_run(tmp_path, settings={"lr": 0.1}, scores=(0.5, 0.6))
    write_run(tmp_path, settings={"lr": 0.2}, scores=(0.5, 0.7))
    write_run(tmp_path, settings={"lr": 0.3}, scores=(0.5, 0.9), status="diverged")
    assert Comparison(read_results(tmp_path)).baselines == {"mrpc_bert": "adam lr=0.2"}
