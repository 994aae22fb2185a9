"""The landscape as numbers and as lines."""

from __future__ import annotations

import math

import pytest

from experiments.landscape.record import (
    Landscape,
    Line,
    Look,
    largest_difference,
    summary_lines,
)

NAN = math.nan


def line(*losses, step=1.0, direction="searched and taken"):
    """The losses after 0, 1, 2, … steps."""
    t = tuple(step * index for index in range(len(losses)))
    return Line(direction, step, t, losses)


def landscape(*looks, difference=0.0):
    return Landscape("s0-0", "digits", "vit", "alsals", 0, 3.0, difference, looks)


def look(*lines, accepts=None, armijo=None, **changes):
    step = lines[0].step if lines else 0.0
    values = {"step": 1, "status": "accepted", "loss": 2.0, "accepted_step": step}
    values |= {"step_taken": step, "accepts": accepts, "armijo": armijo}
    return Look(**(values | changes), lines=lines)


@pytest.mark.parametrize(
    ("found", "best", "ratio", "is_last"),
    [
        (line(2.0, 1.5, 1.0, 1.2, step=0.1), 0.2, 0.5, False),
        (line(2.0, 1.5, 1.2, 1.0, step=0.1), 0.3, 1 / 3, True),
        (line(2.0, 2.5, 3.0, 4.0), 0.0, None, False),
        (line(2.0, 1.0, NAN, -math.inf), 1.0, 1.0, False),
        (line(NAN, NAN, NAN, NAN), None, None, False),
    ],
    ids=["inside", "at the end", "at the start", "not finite beyond", "nothing finite"],
)
def test_the_best_step_and_the_ratio(found, best, ratio, is_last):
    assert found.best_step == pytest.approx(best)
    assert found.ratio == pytest.approx(ratio)
    assert found.best_is_last is is_last


def test_the_repetition_is_compared_with_what_was_recorded():
    assert largest_difference([1.0, 2.0], [1.0, 2.0, 3.0]) == 0
    assert largest_difference([1.0, 2.5], [1.0, 2.0]) == 0.5
    assert largest_difference([NAN], [NAN]) == 0
    assert largest_difference([NAN], [1.0]) == math.inf


def test_one_line_per_step_says_what_was_taken_and_what_was_best():
    found = summary_lines(
        landscape(
            look(line(2.0, 1.5, 1.0, 1.2, step=0.1)),
            look(line(2.0, 3.0, 4.0, 5.0), step=2),
            look(status="nonfinite_loss", step=3),
            difference=0.25,
        )
    )
    assert found[:3] == [
        "step 1: loss 2, step 0.1, best 0.2 (ratio 0.5)",
        "step 2: loss 2, step 1, best 0 (any step raises the loss)",
        "step 3: loss 2, nothing moved (nonfinite loss)",
    ]
    assert "by up to 0.25" in found[3]
