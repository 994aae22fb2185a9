"""The Armijo inequality, recomputed outside the optimizer over problems, constants and seeds."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from sls import ALSALS, SLS, AdamSLS, Status
from tests.sls.problems import PROBLEMS, vector_of

EPS = torch.finfo(torch.float64).eps


def perturbed(problem: str, seed: int) -> nn.Module:
    module = PROBLEMS[problem]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for param in module.parameters():
            param += 0.3 * torch.randn(param.shape, generator=generator, dtype=param.dtype)
    return module


def loss_of(module: nn.Module, k: int) -> float:
    with torch.no_grad():
        return float(module(k))


def gradient_of(module: nn.Module, k: int) -> torch.Tensor:
    gradients = torch.autograd.grad(module(k), list(module.parameters()))
    return torch.cat([g.reshape(-1) for g in gradients])


GRID: dict[str, Any] = {
    "problem": st.sampled_from(sorted(PROBLEMS)),
    "seed": st.integers(0, 2**16),
    "c": st.floats(0.05, 0.9),
    "shrink": st.floats(0.3, 0.95),
    "init_step": st.floats(1e-3, 100.0),
}


@settings(max_examples=60, deadline=None)
@given(**GRID)
def test_sls_satisfies_armijo_at_every_accepted_step(
    problem: str, seed: int, c: float, shrink: float, init_step: float
) -> None:
    module = perturbed(problem, seed)
    optimizer = SLS(module.parameters(), c=c, shrink=shrink, init_step=init_step, max_trials=400)
    for k in range(8):
        before, squared_norm = loss_of(module, k), float(gradient_of(module, k).square().sum())
        optimizer.step(lambda k=k: module(k))
        record, after = optimizer.last_step, loss_of(module, k)
        assert record.status is Status.ACCEPTED
        slack = 2 * EPS * (abs(before) + abs(after))
        assert before - after >= c * record.step_size * squared_norm * (1 - 1e-9) - slack


@settings(max_examples=60, deadline=None)
@given(**GRID)
def test_sls_takes_no_shorter_step_than_it_must(
    problem: str, seed: int, c: float, shrink: float, init_step: float
) -> None:
    module = perturbed(problem, seed)
    start, w = vector_of(module), torch.from_numpy(vector_of(module))
    before, gradient = loss_of(module, 0), gradient_of(module, 0)
    optimizer = SLS(module.parameters(), c=c, shrink=shrink, init_step=init_step, max_trials=400)
    optimizer.step(lambda: module(0))
    record = optimizer.last_step
    if record.trials > 1:
        longer = record.step_size / shrink
        torch.nn.utils.vector_to_parameters(w - longer * gradient, module.parameters())
        asked = c * longer * float(gradient.square().sum())
        assert not before - loss_of(module, 0) >= asked * (1 + 1e-9), (start, record)


@settings(max_examples=60, deadline=None)
@given(beta3=st.sampled_from([0.0, 0.5, 0.9, 0.99]), **GRID)
@example(beta3=0.5, problem="quadratic", seed=7138, c=0.5, shrink=0.5, init_step=1.0)  # a failure
def test_alsals_satisfies_its_smoothed_condition_at_every_accepted_step(
    problem: str, seed: int, c: float, shrink: float, init_step: float, beta3: float
) -> None:
    module = perturbed(problem, seed)
    optimizer = ALSALS(
        module.parameters(), c=c, shrink=shrink, init_step=init_step, beta3=beta3, max_trials=400
    )
    h = s = 0.0
    for k in range(8):
        before, w, gradient = loss_of(module, k), vector_of(module), gradient_of(module, k)
        optimizer.step(lambda k=k: module(k))
        record, after = optimizer.last_step, loss_of(module, k)
        if record.status is not Status.ACCEPTED:
            if record.status is Status.EXHAUSTED:
                h = s = 0.0  # the means begin anew
            continue
        taken = torch.from_numpy(w - vector_of(module))
        slope = float(gradient @ taken) / record.step_size  # taken = η·d, measured from outside
        s = beta3 * s + (1 - beta3) * slope
        h = beta3 * h + (1 - beta3) * (before - after)
        asked = (c if s > 0 else 1 / c) * record.step_size * s
        slack = 1e-9 * (abs(asked) + abs(h)) + 4 * EPS * (abs(before) + abs(after))
        assert h >= asked - slack


@settings(max_examples=30, deadline=None)
@given(**GRID)
def test_adam_sls_searched_point_satisfies_armijo_along_momentum_free_adam(
    problem: str, seed: int, c: float, shrink: float, init_step: float
) -> None:
    module = perturbed(problem, seed)
    optimizer = AdamSLS(
        module.parameters(), c=c, shrink=shrink, init_step=init_step, max_trials=400
    )
    v = 0
    for k in range(8):
        w, gradient = torch.from_numpy(vector_of(module)), gradient_of(module, k)
        before = loss_of(module, k)
        v = 0.999 * v + 0.001 * gradient.square()
        direction = gradient / ((v / (1 - 0.999 ** (k + 1))).sqrt() + 1e-8)
        optimizer.step(lambda k=k: module(k))
        record = optimizer.last_step
        assert record.status is Status.ACCEPTED
        kept = torch.from_numpy(vector_of(module))
        tested = w - record.step_size * direction
        torch.nn.utils.vector_to_parameters(tested, module.parameters())
        after = loss_of(module, k)
        torch.nn.utils.vector_to_parameters(kept, module.parameters())
        asked = c * record.step_size * float(gradient @ direction)
        slack = 1e-9 * (abs(asked) + abs(before)) + 4 * EPS * (abs(before) + abs(after))
        assert before - after >= asked - slack
