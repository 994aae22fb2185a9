"""The twins against numbers computed by hand, mostly on f(w) = w²/2 in one dimension.

There g = w, and with d = w the decrease is Δ(η) = (η − η²/2)·w². The constants are chosen so that
the first step starts from w = 1 with direction 1 (eps = 0), which needs only fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.reference.adam_sls import adam_sls
from tests.reference.alsals import alsals, finite_difference
from tests.reference.salsa import salsa
from tests.reference.shared import (
    SearchFrequency,
    Step,
    Vector,
    adam_direction,
    anneal_factor,
    momentum_free_direction,
    next_moments,
    no_moments,
)
from tests.reference.sls import sls

ONE = np.array([1.0])
Twin = Callable[..., list[Step]]
TWINS: list[Twin] = [sls, adam_sls, alsals, salsa]
NEAR = 2e-6  # six decimals were computed by hand


def half_square(k: int, w: Vector) -> float:
    return float(w @ w) / 2


def identity(k: int, w: Vector) -> Vector:
    return w.copy()


def numbers(steps: list[Step]) -> list[list[float]]:
    """Each step as [w, step size, slope, trials, h, s], for one parameter."""
    return [[float(x.w[0]), x.step_size, x.slope, x.trials, x.h, x.s] for x in steps]


def spoiled(bad: int, value: float) -> Callable[[int, Vector], float]:
    """f(w) = w²/2, but on batch `bad` every loss after the first evaluation is `value`."""
    calls: dict[int, int] = {}

    def losses(k: int, w: Vector) -> float:
        calls[k] = calls.get(k, 0) + 1
        return value if k == bad and calls[k] > 1 else half_square(k, w)

    return losses


# --- first two steps of each ---------------------------------------------------------------------


def test_sls_two_steps() -> None:
    # Armijo: η − η²/2 ≥ 0.1·η, so η ≤ 1.8. Step 1 starts at 1·4^(1/2) = 2: 2, 1.5 ✓,
    # w = 1 − 1.5 = −0.5.
    # Step 2 starts at 1.5·4^(1/2) = 3: 3, 2.25, 1.6875 ✓, w = −0.5·(1 − 1.6875) = 0.34375.
    steps = sls(
        half_square, identity, ONE, 2, init_step=1.0, shrink=0.75, growth=4.0, n_batches_per_epoch=2
    )
    assert numbers(steps) == [
        pytest.approx([-0.5, 1.5, 1.0, 2, math.nan, math.nan], nan_ok=True),
        pytest.approx([0.34375, 1.6875, 0.25, 3, math.nan, math.nan], nan_ok=True),
    ]


def test_adam_sls_two_steps() -> None:
    # Step 1: m = 0.25, v = 0.5, both directions 1, p = 1: 2, 1.5 ✓, w = −0.5.
    # Step 2: m = 0.1875 − 0.125 = 0.0625, m̂ = 0.0625/0.4375 = 1/7; v = 0.375, v̂ = 0.375/0.75 = 0.5.
    # Searched: d = −0.5/√0.5 = −0.707107, p = 0.353553. η = 1.5: |w| = 0.560660, rises;
    # 1.125: w = 0.295495, Δ = 0.125 − 0.043659 = 0.081341 ≥ 0.1·1.125·p = 0.039775 ✓.
    # Taken: d = (1/7)/√0.5 = 0.202031, w = −0.5 − 1.125·0.202031 = −0.727284.
    steps = adam_sls(
        half_square, identity, ONE, 2,
        init_step=2.0, shrink=0.75, growth=1.0, betas=(0.75, 0.5), eps=0.0,
    )  # fmt: skip
    assert numbers(steps) == [
        pytest.approx([-0.5, 1.5, 1.0, 2, math.nan, math.nan], nan_ok=True),
        pytest.approx(
            [-0.727284, 1.125, 0.353553, 2, math.nan, math.nan], nan_ok=True, rel=0, abs=NEAR
        ),
    ]


def test_adam_sls_start_grows_by_an_epochs_share() -> None:
    # Step 1 starts, and stays, at 0.1·16^(1/4) = 0.2, step 2 at 0.2·2.
    steps = adam_sls(half_square, identity, ONE, 2, growth=16.0, n_batches_per_epoch=4)
    assert [x.step_size for x in steps] == pytest.approx([0.2, 0.4])


def test_alsals_two_steps() -> None:
    # Step 1: d = 1, p = 1, s = 0.5, h_try = Δ/2 ≥ 0.3·η·0.5 ⇔ η ≤ 1.4: 2, 1.5, 1.125 ✓,
    # Δ = 1.125 − 0.6328125 = 0.4921875, h = 0.24609375, w = −0.125.
    # Step 2: m = 0.1875, m̂ = 0.25; v = 0.2578125, v̂ = 0.34375; d = 0.25/0.586302 = 0.426401.
    # p = −0.0533002, s = 0.25 − 0.0266501 = 0.2233499 > 0, so c' = c.
    # 1.125: f = 0.182832, Δ = −0.175019, h_try = 0.035537 < 0.075381;
    # 0.84375: w = −0.484776, f = 0.117504, Δ = −0.109691, h_try = 0.068201 ≥ 0.056536 ✓.
    steps = alsals(
        half_square, identity, ONE, 2,
        init_step=2.0, shrink=0.75, growth=1.0, betas=(0.5, 0.5), beta3=0.5, eps=0.0,
    )  # fmt: skip
    assert numbers(steps) == [
        pytest.approx([-0.125, 1.125, 1.0, 3, 0.24609375, 0.5]),
        pytest.approx([-0.484776, 0.84375, -0.053300, 2, 0.068201, 0.223350], rel=0, abs=NEAR),
    ]


def test_alsals_by_ratio_two_steps() -> None:
    # Step 1 as above: 1.125 ✓, w = −0.125, h = 0.24609375; s = 1.125·1/2 = 0.5625.
    # Step 2: p = −0.0533002 and d = 0.426401 as above. Left over: h − 0.3·s = 0.07734375, so that
    # Δ ≥ 0.3·η·p − 0.07734375: 1.125: −0.175019 < −0.095333; 0.84375: −0.109691 < −0.090835;
    # 0.6328125: w = −0.394832, f = 0.077946, Δ = −0.070134 ≥ −0.087463 ✓,
    # h = 0.123047 − 0.035067 = 0.087980, s = 0.28125 − 0.016865 = 0.264385.
    steps = alsals(
        half_square, identity, ONE, 2, smoothing="ratio",
        init_step=2.0, shrink=0.75, growth=1.0, betas=(0.5, 0.5), beta3=0.5, eps=0.0,
    )  # fmt: skip
    assert numbers(steps) == [
        pytest.approx([-0.125, 1.125, 1.0, 3, 0.24609375, 0.5625]),
        pytest.approx([-0.394832, 0.6328125, -0.053300, 3, 0.087980, 0.264385], rel=0, abs=NEAR),
    ]


def test_alsals_ascent_direction_may_raise_the_loss_by_a_bounded_amount() -> None:
    # As above with β3 = 0, so that h = Δ and s = p. Step 2: s = −0.0533002, c' = 1/0.3; accepted
    # iff 0.0533002·η + 0.0909088·η² ≤ 0.177667·η ⇔ η ≤ 1.368.
    # 1.125 passes; with c' = c nothing would.
    steps = alsals(
        half_square, identity, ONE, 2,
        init_step=2.0, shrink=0.75, growth=1.0, betas=(0.5, 0.5), beta3=0.0, eps=0.0,
    )  # fmt: skip
    expected = [-0.604702, 1.125, -0.053300, 1, -0.175019, -0.053300]
    assert numbers(steps)[1] == pytest.approx(expected, rel=0, abs=NEAR)


def test_alsals_growth_is_that_of_the_paper() -> None:
    # 0.1/0.999 = 0.1001001… is accepted at once, and so is 0.1/0.999² = 0.1002003… after it.
    steps = alsals(half_square, identity, ONE, 2)
    assert [x.step_size for x in steps] == pytest.approx([0.1001001001, 0.1002003004], rel=1e-9)


def test_salsa_adam_two_steps() -> None:
    # Step 1 starts at (2/1.1)·1.1: p = 1, s = 0.5, Δ/2 ≥ 0.5·η·0.5 ⇔ η ≤ 1: 2, 1.5, 1.125,
    # 0.84375 ✓, w = 0.15625, h = (0.84375 − 0.35595703)/2 = 0.24389648.
    # Step 2 starts at 0.84375·1.1 = 0.928125. v = 0.26220703, v̂ = 0.34960938, √v̂ = 0.591278;
    # searched: d = 0.264258, p = 0.041290, s = 0.270645; w = −0.089015, Δ = 0.012207 − 0.003962,
    # h_try = 0.121948 + 0.004123 = 0.126071 ≥ 0.5·0.928125·0.270645 = 0.125596 ✓.
    # Taken: m̂ = 0.328125/0.75 = 0.4375, d = 0.739922, w = 0.15625 − 0.686740 = −0.530490.
    steps = salsa(
        half_square, identity, ONE, 2,
        init_step=2 / 1.1, shrink=0.75, beta3=0.5, betas=(0.5, 0.5), eps=0.0,
    )  # fmt: skip
    assert numbers(steps) == [
        pytest.approx([0.15625, 0.84375, 1.0, 4, 0.243896484375, 0.5]),
        pytest.approx([-0.530490, 0.928125, 0.041290, 1, 0.126071, 0.270645], rel=0, abs=NEAR),
    ]


def test_salsa_sgd_two_steps() -> None:
    # Step 1 as with Adam. Step 2: d = 0.15625, p = 0.0244140625, s = 0.26220703;
    # w = 0.15625·(1 − 0.928125) = 0.01123047, Δ = 0.01220703 − 0.00006306 = 0.01214397,
    # h_try = 0.12194824 + 0.00607198 = 0.12802023 ≥ 0.5·0.928125·0.26220703 = 0.12168045 ✓.
    steps = salsa(
        half_square, identity, ONE, 2, direction="sgd", init_step=2 / 1.1, shrink=0.75, beta3=0.5
    )
    assert numbers(steps) == [
        pytest.approx([0.15625, 0.84375, 1.0, 4, 0.243896484375, 0.5]),
        pytest.approx([0.011230, 0.928125, 0.024414, 1, 0.128020, 0.262207], rel=0, abs=NEAR),
    ]


# --- directions ----------------------------------------------------------------------------------


def test_adam_directions_with_the_usual_constants() -> None:
    # g = 1: m̂ = v̂ = 1. g = 2: m = 0.09 + 0.2 = 0.29, m̂ = 0.29/0.19 = 1.526316;
    # v = 0.000999 + 0.004 = 0.004999, v̂ = 0.004999/0.001999 = 2.500750, √v̂ = 1.581376.
    betas = (0.9, 0.999)
    first = next_moments(no_moments(ONE), ONE, betas)
    assert adam_direction(first, betas, 1e-8) == pytest.approx([1.0], abs=2e-8)
    second = next_moments(first, 2 * ONE, betas)
    assert adam_direction(second, betas, 1e-8) == pytest.approx([0.965182], abs=1e-6)
    assert momentum_free_direction(second, 2 * ONE, betas, 1e-8) == pytest.approx(
        [1.264721], rel=0, abs=NEAR
    )


def test_eps_is_added_to_the_root() -> None:
    # v̂ = 1 after g = 1: 1/(1 + 1) = 0.5, whereas 1/√(1 + 1) = 0.707.
    moments = next_moments(no_moments(ONE), ONE, (0.9, 0.999))
    assert adam_direction(moments, (0.9, 0.999), 1.0) == pytest.approx([0.5])
    assert momentum_free_direction(moments, ONE, (0.9, 0.999), 1.0) == pytest.approx([0.5])


# --- ALSALS' own rules ---------------------------------------------------------------------------


def test_finite_difference_grows_epsilon_while_it_is_exactly_zero() -> None:
    # Near 1e9 a float64 moves in units of u = 2⁻²³ = 1.1920929e-7. ε = 5e-9 and 5e-8 are below u/2
    # and vanish; 5e-7 = 4.19·u rounds to 4·u = 4.76837e-7, so p = 4.76837e-7/5e-7 = 0.953674.
    p = finite_difference(lambda k, w: 1e9 + float(w[0]), 0, ONE, ONE, f0=1e9 + 1)
    assert p == pytest.approx(0.953674, abs=1e-6)


def test_finite_difference_gives_up_at_one() -> None:
    # 5e-9 · 10^j ≤ 1 for j = 0 … 8.
    tried: list[float] = []

    def flat(k: int, w: Vector) -> float:
        tried.append(1 - float(w[0]))
        return 3.0

    assert finite_difference(flat, 0, ONE, ONE, f0=3.0) == 0
    assert tried == pytest.approx([5 * 10.0**j for j in range(-9, 0)], rel=1e-6)


def test_alsals_uses_the_finite_difference_only_when_asked() -> None:
    def steep(k: int, w: Vector) -> Vector:  # twice the true gradient of w²/2
        return 2 * w

    # d = 1 at the first step, so ⟨g, d⟩ = 2 while the loss falls by 1 per unit step.
    assert alsals(half_square, steep, ONE, 1)[0].slope == pytest.approx(2)
    estimated = alsals(half_square, steep, ONE, 1, slope="finite_difference")
    assert estimated[0].slope == pytest.approx(1, abs=1e-6)


def test_min_step_keeps_the_last_step_tested() -> None:
    # Every trial's loss is the first, 0.5, so nothing is accepted: 0.1, 0.05, 0.025, and
    # 0.0125 < 0.02 ends the search there. h = 0, s = 0.01·1.
    [step] = alsals(
        spoiled(0, 0.5), identity, ONE, 1, shrink=0.5, growth=1.0, min_step=0.02, eps=0.0
    )
    assert numbers([step]) == [pytest.approx([0.975, 0.025, 1.0, 3, 0.0, 0.01])]


def test_min_step_does_not_keep_a_step_that_climbs_where_the_slope_descends() -> None:
    [step] = alsals(spoiled(0, 1.0), identity, ONE, 1, shrink=0.5, growth=1.0, min_step=0.02)
    assert numbers([step]) == [pytest.approx([1.0, 0.0, 1.0, 3, 0.0, 0.0])]


def test_min_step_does_not_keep_a_loss_that_is_not_finite() -> None:
    [step] = alsals(spoiled(0, math.inf), identity, ONE, 1, shrink=0.5, min_step=0.02)
    assert numbers([step]) == [pytest.approx([1.0, 0.0, 1.0, 3, 0.0, 0.0])]


# --- rounding, weight decay, annealing -----------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "trials"), [(1.0, 1), (0.0, 100)])
def test_one_rounding_is_forgiven_exactly_when_asked(tolerance: float, trials: int) -> None:
    # f rises by one unit, 2.2e-16, from 1: Δ + ε·(1 + 1) = +2.2e-16 ≥ 0.1·η·g² = 1e-21.
    def losses(k: int, w: Vector) -> float:
        return 1.0 if w[0] == 1 else 1 + 2.220446049250313e-16

    [step] = sls(losses, lambda k, w: np.array([1e-10]), ONE, 1, tolerance=tolerance, init_step=1e5)
    # 1e5·1e-10 moves w by 1e-5, and 0.9⁹⁹·1e-5 = 3e-10 still differs from 0.
    assert step.trials == trials


@pytest.mark.parametrize("twin", TWINS)
def test_weight_decay_is_decoupled_and_comes_after_the_search(twin: Twin) -> None:
    # d = 1 at the first step: w = 1 − 0.25·1 − 0.25·0.1·1 = 0.725, and nothing else differs.
    [plain] = twin(half_square, identity, ONE, 1, init_step=0.25, growth=1.0)
    [decayed] = twin(half_square, identity, ONE, 1, init_step=0.25, growth=1.0, weight_decay=0.1)
    assert plain.w == pytest.approx([0.75], abs=1e-7)
    assert decayed.w == pytest.approx([0.725], abs=1e-7)
    np.testing.assert_equal(decayed[1:], plain[1:])


def test_anneal_factor_is_one_and_then_falls_to_zero() -> None:
    # T = 10, a = 0.5: 1 for k < 5, then (10 − k)/5.
    factors = [anneal_factor(k, 10, 0.5) for k in (0, 4, 5, 6, 9, 10, 12)]
    assert factors == pytest.approx([1, 1, 1, 0.8, 0.2, 0, 0])
    # a = 0.25: 1 for k < 7.5, then (10 − k)/2.5.
    assert [anneal_factor(k, 10, 0.25) for k in (7, 8, 9)] == pytest.approx([1, 0.8, 0.4])
    assert anneal_factor(10**6, None, 0.5) == 1


@pytest.mark.parametrize("twin", TWINS)
def test_annealing_scales_the_step_taken_and_not_the_one_recorded(twin: Twin) -> None:
    # T = 2 over the whole run: factors 1 and 0.5. The gradient is always 1, so every
    # direction is 1; η stays 0.25: 1 − 0.25 = 0.75, 0.75 − 0.125 = 0.625.
    first, second = twin(
        lambda k, w: float(w[0]), lambda k, w: ONE, ONE, 2,
        init_step=0.25, growth=1.0, total_steps=2, anneal=1.0,
    )  # fmt: skip
    assert (first.w[0], second.w[0]) == pytest.approx((0.75, 0.625), abs=1e-7)
    assert (first.step_size, second.step_size) == (0.25, 0.25)


# --- search frequency ----------------------------------------------------------------------------


def test_interval_on_a_sequence_computed_by_hand() -> None:
    frequency = SearchFrequency()
    intervals = [frequency.interval()]
    for step in (0.1, 0.2, 0.4, 0.01):
        frequency.took(step)
        intervals.append(frequency.interval())
    # nothing yet → 1; fast/slow = 0.1/0.1 → 10; 0.11/0.101: 1/0.0891 = 11.2 → 10;
    # 0.139/0.10399: 1/0.33667 = 2.97 → 3; 0.1261/0.1030501: 1/0.22368 = 4.47 → 4.
    assert intervals == [1, 10, 10, 3, 4]


def test_interval_inverts_a_ratio_below_one() -> None:
    frequency = SearchFrequency()
    for step in (1.0, 0.01, 0.01):
        frequency.took(step)
    # fast = 0.8119, slow = 0.980299: r = 1.207413, 1/0.207413 = 4.82 → 5.
    assert frequency.interval() == 5


@pytest.mark.parametrize("twin", TWINS)
def test_constant_step_is_searched_ten_times_and_then_every_tenth_step(twin: Twin) -> None:
    steps = twin(half_square, identity, 10 * ONE, 31, init_step=0.01, growth=1.0, search="adaptive")
    assert [k for k, x in enumerate(steps) if x.trials > 0] == [*range(10), 19, 29]
    assert {x.step_size for x in steps} == {0.01}


@pytest.mark.parametrize("twin", [alsals, salsa])
def test_smoothed_means_rest_between_searches(twin: Twin) -> None:
    steps = twin(half_square, identity, 10 * ONE, 20, init_step=0.01, growth=1.0, search="adaptive")
    assert {(x.h, x.s) for x in steps[9:19]} == {(steps[9].h, steps[9].s)}
    assert steps[19].h != steps[18].h


# --- failure -------------------------------------------------------------------------------------


def with_a_bad_batch(twin: Twin, value: float) -> list[Step]:
    """Five steps of 0.25 at first; every trial of the second has this loss."""
    losses = spoiled(1, value)
    settings: dict[str, Any] = {"search": "every", "shrink": 0.5, "growth": 1.0, "max_trials": 7}
    return twin(losses, identity, ONE, 5, init_step=0.25, **settings)


AFTER_A_FAILURE = [0.25 / 64, 0.25 / 6.4, 0.25]
"""From the last of seven halvings, tenfold back to the last good step."""


@pytest.mark.parametrize("twin", TWINS)
def test_search_without_a_finite_loss_moves_nothing_and_the_next_starts_lower(twin: Twin) -> None:
    steps = with_a_bad_batch(twin, math.nan)
    assert (steps[1].trials, steps[1].step_size) == (7, 0)
    assert_array_equal(steps[1].w, steps[0].w)
    assert [x.step_size for x in steps[2:]] == pytest.approx(AFTER_A_FAILURE)


@pytest.mark.parametrize("twin", TWINS)
def test_exhausted_search_moves_nothing_and_the_next_starts_lower(twin: Twin) -> None:
    steps = with_a_bad_batch(twin, 1e6)
    assert (steps[1].trials, steps[1].step_size) == (7, 0)
    assert_array_equal(steps[1].w, steps[0].w)
    assert [x.step_size for x in steps[2:4]] == pytest.approx(AFTER_A_FAILURE[:2])


@pytest.mark.parametrize("twin", [alsals, salsa])
def test_an_exhausted_search_starts_the_means_anew(twin: Twin) -> None:
    steps = with_a_bad_batch(twin, 1e6)
    assert steps[0].s > 0
    assert (steps[1].h, steps[1].s) == (0, 0)


def test_sls_takes_its_fallback_where_it_does_not_raise_the_loss() -> None:
    def losses(k: int, w: Vector) -> float:
        """A step that is not very small falls off a cliff."""
        return half_square(k, w) if w[0] > 1 - 2e-6 else 1e6

    [step] = sls(losses, identity, ONE, 1, init_step=0.25, growth=1.0, max_trials=7)
    assert (step.trials, step.step_size) == (7, 1e-6)
    assert step.w == pytest.approx(1 - 1e-6, rel=1e-12)


def test_a_step_that_proves_nothing_is_kept_and_does_not_grow() -> None:
    # On a plane of slope 1e-17 at height 1 nothing can be measured; the start is 0.5 every time.
    steps = sls(lambda k, w: 1.0, lambda k, w: 3e-9 * ONE, ONE, 3,
                init_step=0.25, growth=2.0, n_batches_per_epoch=1)  # fmt: skip
    assert [(x.trials, x.step_size) for x in steps] == [(1, 0.5)] * 3


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_first_loss_that_is_not_finite_changes_nothing(twin: Twin, value: float) -> None:
    def losses(k: int, w: Vector) -> float:
        return value if k == 0 else half_square(k, w)

    steps = twin(losses, identity, ONE, 2, init_step=0.25)
    [good] = twin(half_square, identity, ONE, 1, init_step=0.25)
    assert_array_equal(steps[0].w, ONE)
    assert (steps[0].trials, steps[0].step_size) == (0, 0)
    np.testing.assert_equal(steps[1], good)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("k_bad", [0, 12])  # a step with a search, and one between searches
def test_gradient_that_is_not_finite_changes_nothing(twin: Twin, k_bad: int) -> None:
    def gradients(k: int, w: Vector) -> Vector:
        return np.array([math.inf]) if k == k_bad else w.copy()

    steps = twin(half_square, gradients, ONE, 15, init_step=0.01, growth=1.0, search="adaptive")
    before = ONE if k_bad == 0 else steps[k_bad - 1].w
    assert_array_equal(steps[k_bad].w, before)
    assert np.isfinite(steps[-1].w).all()
    assert abs(steps[-1].w[0]) < abs(before[0])
