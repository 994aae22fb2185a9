"""How far the peak that PeakSLS finds is from the best constant step, under the same annealing.

Measured over 24 random problems with 3 runs each, conditions 10 to 100, σ from 0.3 to 10, 200
steps, as found/best step, and final loss over that of the best step:

                  least  tenth  median  ninetieth  greatest
    Adam   step    2.5    3.6     5.2      6.8        8.1
           loss    1.2    1.7     2.6      3.3        4.1
    SGD    step    0.5    0.8     1.4      3.5        5.6
           loss    0.8    1.0     1.3      1.8        3.5

where the best loss is 25 to 16,000 times below the first. At the corners, and over 24 problems
more, Adam's steps are 2.4 to 10.8 times the best, with up to 3.5 times its loss; SGD's 0.34 to 9.1
times. SGD's step is too small where the noise is small and the condition large; the loss is then up
to 39 times the best one, itself 30,000 times below the first. A quadratic stays the same, so that a
longer run wants a smaller step: over 1000 steps Adam's peak is 10 to 21 times the best step, SGD's
2 to 13 times. The tests hold the rule to what was measured. A factor of two holds for two thirds of
SGD's runs and for none of Adam's.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.sls.quadratics import NoisyQuadratic

few_examples = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink what takes a second takes minutes
    suppress_health_check=list(HealthCheck),
)
problems = given(
    seed=st.integers(0, 1000),
    condition=st.floats(10, 100),
    log_noise=st.floats(np.log(0.3), np.log(10)),
)
RUNS = 3


def found(problem: NoisyQuadratic) -> tuple[list[float], float]:
    """The steps found, as multiples of the best one, and the mean final loss of these runs."""
    assume(0 < problem.best < len(problem.steps) - 1)
    runs = [problem.found(draw) for draw in range(RUNS)]
    best = problem.steps[problem.best]
    return [step / best for step, _ in runs], float(np.mean([loss for _, loss in runs]))


def problem_of(
    seed: int, condition: float, log_noise: float, direction: Literal["adam", "sgd"]
) -> NoisyQuadratic:
    return NoisyQuadratic(seed, condition, float(np.exp(log_noise)), direction)


@few_examples
@problems
def test_adams_peak_is_near_the_best_step(seed: int, condition: float, log_noise: float) -> None:
    problem = problem_of(seed, condition, log_noise, "adam")
    multiples, loss = found(problem)
    assert min(multiples) > 1, "the peak was never below the best step"
    assert max(multiples) < 12, "the peak was never beyond eleven times the best step"
    assert loss < 5 * problem.final_losses[problem.best]


@few_examples
@problems
def test_sgds_peak_is_near_the_best_step(seed: int, condition: float, log_noise: float) -> None:
    problem = problem_of(seed, condition, log_noise, "sgd")
    multiples, loss = found(problem)
    assert min(multiples) > 0.25, "the peak was never below a third of the best step"
    assert max(multiples) < 12, "the peak was never beyond ten times the best step"
    start, least = problem.loss(problem.start), problem.final_losses[problem.best]
    assert np.log(start / loss) > 0.4 * np.log(start / least), "half the way in the logarithm"


@pytest.mark.parametrize("direction", ["adam", "sgd"])
def test_the_brute_force_walks_as_the_held_optimizer(direction: Literal["adam", "sgd"]) -> None:
    """What the peak is compared with is the same walk: at one step, both end at the same losses."""
    problem = NoisyQuadratic(0, 30.0, 1.0, direction)
    index = len(problem.steps) // 2
    walked = [problem.held_at(problem.steps[index], draw) for draw in range(8)]
    assert np.mean(walked) == pytest.approx(problem.final_losses[index], rel=1e-6)
