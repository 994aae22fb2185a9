"""Every optimizer walks with its slow, obvious twin for 200 steps, to 1e-6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from torch.optim import Optimizer

from sls import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA
from tests.reference.adam_sls import adam_sls
from tests.reference.alsals import alsals
from tests.reference.peak_sls import peak_sls
from tests.reference.salsa import salsa
from tests.reference.shared import Step
from tests.reference.sls import sls
from tests.sls.optimizers import RATIO
from tests.sls.pairs import pairs
from tests.sls.problems import PROBLEMS, PlainProblem, vector_of

STEPS = 200


class Pair(NamedTuple):
    """An optimizer, its twin, and the twin's settings."""

    optimizer: Callable[..., Any]
    twin: Callable[..., list[Step]]
    settings: dict[str, Any]


PAPER_ALSALS = {"slope": "finite_difference", "min_step": 5e-9, "tolerance": 0.0}
PAPER_SALSA = {
    "c": 0.3,
    "shrink": 0.9,
    "beta3": 0.99,
    "init_step": 0.1,
    "growth": 2 ** (1 / 500),
    "tolerance": 0.0,
}

PAIRS = {
    "SLS": Pair(SLS, sls, {}),
    "SLS.paper": Pair(SLS.paper, sls, {"tolerance": 0.0}),
    "AdamSLS": Pair(AdamSLS, adam_sls, {}),
    "AdamSLS.paper": Pair(AdamSLS.paper, adam_sls, {"tolerance": 0.0}),
    "ALSALS": Pair(ALSALS, alsals, {}),
    "ALSALS.paper": Pair(ALSALS.paper, alsals, PAPER_ALSALS),
    "ALSALS-ratio": Pair(lambda params, **kw: ALSALS(params, **{**RATIO, **kw}), alsals, RATIO),
    "SaLSA": Pair(SaLSA, salsa, {}),
    "SaLSA.paper": Pair(SaLSA.paper, salsa, PAPER_SALSA),
    "SaLSA-sgd": Pair(
        lambda params, **kw: SaLSA(params, direction="sgd", **kw), salsa, {"direction": "sgd"}
    ),
}
# A faster growth than 1.05 makes the network's walk by ratio chaotic: rounding reaches 1e-6.
VARIATIONS: dict[str, dict[str, Any]] = {
    "adaptive": {"search": "adaptive"},
    "every": {"search": "every"},
    "annealed": {"total_steps": STEPS, "anneal": 0.5},
    "decayed": {"weight_decay": 0.1},
    "clipped": {"max_grad_norm": 0.1},
    "other-constants": {"c": 0.6, "shrink": 0.7, "growth": 1.05, "init_step": 0.02},
    "interpolated": {"interpolate": True, "init_step": 20.0, "growth": 1.001},
    # So large a start fails some searches, and so slow a growth lets the walks not part.
    "few-trials": {"max_trials": 2, "init_step": 100.0, "shrink": 0.3, "growth": 1.001},
}
DEFAULT_PAIRS = ["ALSALS", "SLS", "AdamSLS", "ALSALS-ratio", "SaLSA", "SaLSA-sgd"]
# Under the smaller bound this walk is chaotic: rounding reaches 1e-6 near step 195 of 200.
CALMER = {("ALSALS-ratio", "clipped"): {"max_grad_norm": 0.2}}


PEAK_VARIATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "annealed": {"total_steps": STEPS},
    "annealed-over-all": {"total_steps": STEPS, "anneal": 1.0},
    "longer": {"total_steps": 2 * STEPS},
    "sgd": {"direction": "sgd"},
    "sgd-annealed": {"direction": "sgd", "total_steps": STEPS},
    # From 1e-5 a curvature, a difference over η², is known to so few digits that walks part.
    "decayed": {"weight_decay": 0.1, "total_steps": STEPS, "init_step": 1e-3},
    "larger-start": {"init_step": 1e-3},
    # Smaller bounds make the banana's walk chaotic; the network's norms stay below this one.
    "clipped": {"max_grad_norm": 1.0, "total_steps": STEPS, "init_step": 1e-3},
    "other-moments": {"betas": (0.8, 0.9), "eps": 1e-3, "total_steps": STEPS},
}


def walk(optimizer: Optimizer, module: Any, steps: int) -> list[tuple[Any, Any]]:
    """(parameters after the step, record) of every step."""
    history = []
    for k in range(steps):
        optimizer.step(lambda k=k: module(k))
        history.append((vector_of(module), optimizer.last_step))
    return history


def assert_same_walk(history: list[tuple[Any, Any]], expected: list[Step]) -> None:
    assert len(history) == len(expected)
    for k, ((w, record), step) in enumerate(zip(history, expected, strict=True)):
        message = f"step {k}, {record}"
        np.testing.assert_allclose(w, step.w, rtol=1e-6, atol=1e-9, err_msg=message)
        assert record.trials == step.trials, message
        if step.step_size > 0:  # the twin writes 0 for a failed step
            np.testing.assert_allclose(record.step_size, step.step_size, rtol=1e-6, err_msg=message)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", PAIRS)
def test_walks_with_its_twin(name: str, problem: str) -> None:
    pair, module = PAIRS[name], PROBLEMS[problem]()
    plain = PlainProblem(PROBLEMS[problem]())
    expected = pair.twin(plain.loss, plain.gradient, plain.start(), STEPS, **pair.settings)
    assert_same_walk(walk(pair.optimizer(module.parameters()), module, STEPS), expected)


@pytest.mark.parametrize(("name", "variation"), pairs(DEFAULT_PAIRS, list(VARIATIONS)))
def test_walks_with_its_twin_under_other_settings(name: str, variation: str) -> None:
    pair, module = PAIRS[name], PROBLEMS["network"]()
    settings = CALMER.get((name, variation), VARIATIONS[variation])
    plain = PlainProblem(PROBLEMS["network"]())
    expected = pair.twin(
        plain.loss, plain.gradient, plain.start(), STEPS, **{**pair.settings, **settings}
    )
    optimizer = pair.optimizer(module.parameters(), **settings)
    assert_same_walk(walk(optimizer, module, STEPS), expected)


@pytest.mark.parametrize(("variation", "problem"), pairs(list(PEAK_VARIATIONS), list(PROBLEMS)))
def test_peak_sls_walks_with_its_twin(variation: str, problem: str) -> None:
    module, settings = PROBLEMS[problem](), PEAK_VARIATIONS[variation]
    plain = PlainProblem(PROBLEMS[problem]())
    expected = peak_sls(plain.loss, plain.gradient, plain.start(), STEPS, **settings)
    assert_same_walk(walk(PeakSLS(module.parameters(), **settings), module, STEPS), expected)


@pytest.mark.parametrize("settings", [{}, RATIO], ids=["paper", "ratio"])
def test_means_h_and_s_are_the_twins(settings: dict[str, Any]) -> None:
    module, plain = PROBLEMS["network"](), PlainProblem(PROBLEMS["network"]())
    expected = alsals(plain.loss, plain.gradient, plain.start(), STEPS, **settings)
    optimizer = ALSALS(module.parameters(), **settings)
    walk(optimizer, module, STEPS)
    state = optimizer.search_state
    assert (state.h, state.s) == pytest.approx((expected[-1].h, expected[-1].s), rel=1e-6)
