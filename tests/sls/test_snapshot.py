"""Snapshots of optimizers: everything goes back, into the same objects."""

from __future__ import annotations

import copy
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from sls.snapshot import Snapshot
from tests.sls.bases import Lion

NUMBERS = st.integers(-5, 5) | st.booleans() | st.text(max_size=2) | st.none()
TENSORS = st.lists(st.integers(-5, 5), min_size=1, max_size=3).map(torch.tensor) | st.integers(
    -5, 5
).map(lambda x: torch.tensor(float(x), dtype=torch.bfloat16))
VALUES = st.recursive(
    NUMBERS | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def scramble(value: Any) -> None:
    """Change all that can be changed in place."""
    if isinstance(value, torch.Tensor):
        value.add_(1)
    elif isinstance(value, dict):
        for inner in value.values():
            scramble(inner)
        value.pop(next(iter(value), None), None)
        value["new"] = torch.zeros(1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            scramble(inner)
        if isinstance(value, list):
            value.append(7)


@given(state=st.dictionaries(st.text(max_size=3), VALUES), setting=VALUES)
def test_whatever_a_step_does_goes_back(state: dict[str, Any], setting: Any) -> None:
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = Lion([w])
    optimizer.state[w] = state
    optimizer.param_groups[0]["setting"] = setting
    expected = copy.deepcopy(state), copy.deepcopy(setting)
    snapshot = Snapshot([optimizer])
    scramble(state)
    scramble(setting)
    optimizer.param_groups[0]["lr"] = 77.0
    snapshot.restore()
    assert optimizer.state[w] is state
    assert optimizer.param_groups[0]["setting"] is setting
    assert equal((state, setting), expected)
    assert optimizer.param_groups[0]["lr"] == 1e-4
    assert optimizer.param_groups[0]["params"][0] is w


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def test_the_parameters_are_not_copied_and_stay() -> None:
    w = torch.nn.Parameter(torch.ones(2))
    snapshot = Snapshot([Lion([w])])
    with torch.no_grad():
        w.zero_()
    snapshot.restore()
    assert (w == 0).all()
