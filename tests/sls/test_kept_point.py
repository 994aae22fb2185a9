"""The point that was tested is the point that is kept (4); weight decay stays outside (5)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA
from tests.sls.problems import PROBLEMS, vector_of


def step_and_watch(optimizer: LineSearch, module: nn.Module, k: int) -> list[torch.Tensor]:
    """The parameters at which the closure was evaluated, in order."""
    seen = []

    def closure() -> torch.Tensor:
        seen.append(torch.from_numpy(vector_of(module)))
        return module(k)

    optimizer.step(closure)
    return seen


@pytest.mark.parametrize(
    "make",
    [SLS, ALSALS, lambda params: SaLSA(params, direction="sgd")],
    ids=["SLS", "ALSALS", "SaLSA-sgd"],
)
def test_parameters_stay_at_the_last_trial_to_the_bit(make: object) -> None:
    module = PROBLEMS["network"]()
    optimizer = make(module.parameters())
    for k in range(30):
        seen = step_and_watch(optimizer, module, k)
        if optimizer.last_step.searched:
            assert torch.equal(torch.from_numpy(vector_of(module)), seen[-1]), optimizer.last_step


def test_the_first_search_made_several_trials_in_the_test_above() -> None:
    module = PROBLEMS["network"]()
    optimizer = SLS(module.parameters(), init_step=1000.0)
    seen = step_and_watch(optimizer, module, 0)
    assert len(seen) == optimizer.last_step.trials + 1 > 5


@pytest.mark.parametrize("optimizer_class", [AdamSLS, SaLSA])
def test_where_the_paper_keeps_another_point_the_class_says_so(optimizer_class: type) -> None:
    module = PROBLEMS["network"]()
    optimizer = optimizer_class(module.parameters())
    step_and_watch(optimizer, module, 0)
    seen = step_and_watch(optimizer, module, 1)
    assert not torch.equal(torch.from_numpy(vector_of(module)), seen[-1])
    assert not optimizer.direction.takes_what_it_searched
    assert "not the point that is kept" in " ".join(optimizer_class.__doc__.split()).replace(
        "the point that was tested is ", ""
    )


def test_annealed_point_lies_on_the_searched_segment_nearer_than_the_tested_one() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters(), total_steps=4, anneal=1.0)
    for k in range(3):
        start = torch.from_numpy(vector_of(module))
        tested = step_and_watch(optimizer, module, k)[-1]
        kept = torch.from_numpy(vector_of(module))
        torch.testing.assert_close(kept - start, (tested - start) * (1 - k / 4))


def test_annealing_leaves_the_search_alone() -> None:
    plain, annealed = PROBLEMS["network"](), PROBLEMS["network"]()
    one, other = ALSALS(plain.parameters()), ALSALS(annealed.parameters(), total_steps=100)
    for k in range(51):  # the factor is 1 up to here
        one.step(lambda k=k: plain(k))
        other.step(lambda k=k: annealed(k))
    assert one.search_state == other.search_state
    assert other.param_groups[0]["lr"] == other.last_step.step_size


def test_steps_beyond_total_steps_are_zero_and_said_once() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters(), total_steps=2)
    optimizer.step(lambda: module(0))
    optimizer.step(lambda: module(1))
    before = vector_of(module)
    with pytest.warns(UserWarning, match="more often than total_steps=2"):
        optimizer.step(lambda: module(2))
    optimizer.step(lambda: module(3))
    assert (vector_of(module) == before).all()


@pytest.mark.parametrize("optimizer_class", [SLS, AdamSLS, ALSALS, SaLSA])
def test_weight_decay_stays_outside_the_comparison(optimizer_class: type) -> None:
    plain, decayed = PROBLEMS["network"](), PROBLEMS["network"]()
    one = optimizer_class(plain.parameters())
    other = optimizer_class(decayed.parameters(), weight_decay=0.5)
    start = torch.from_numpy(vector_of(plain))
    tried = step_and_watch(one, plain, 0), step_and_watch(other, decayed, 0)
    assert all(torch.equal(x, y) for x, y in zip(*tried, strict=True))
    expected = torch.from_numpy(vector_of(plain)) - one.last_step.step_size * 0.5 * start
    torch.testing.assert_close(torch.from_numpy(vector_of(decayed)), expected)
