"""The running average of the weights, and contexts in which the parameters are the average.

    x ← x + c_t·(w − x),   c_t = min(1, (1+γ)/(t+γ)),   γ = 8

after step t = 1, 2, …: a window of about t/9 steps, which needs no length of the run. Source: the
polynomial averaging of Shamir and Zhang (2013), arXiv 1212.1824, with the γ of DoG's authors
(Ivgi et al. 2023, arXiv 2302.12022).

x is in float32 or better: as c_t falls, c_t·(w − x) falls below a rounding of float16 and bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sls.arithmetic import choose, local, real, swap
from sls.calls import each_call
from sls.parameters import States
from sls.replay import Replay

Forwards = Callable[[], object] | Iterable[Callable[[], object]]
NAME = "average"
GAMMA = 8


def weight_of_step(t: int) -> float:
    """`c_t`, for the step t = 1, 2, … that was taken last."""
    return min(1.0, (1 + GAMMA) / (t + GAMMA))


def type_of_average(param: Tensor) -> torch.dtype:
    """The type of a parameter's average: its own, or one with at least the precision of float32."""
    return torch.promote_types(param.dtype, torch.float32)


def update_average(params: Sequence[Tensor], states: States, t: int, foreach: bool | None) -> None:
    """`x ← x + c_t·(w − x)` for all parameters that have moved; x starts at the first such w."""
    for param in params:
        if param.grad is not None and param in states and NAME not in states[param]:
            states[param][NAME] = param.detach().clone().to(type_of_average(param))
    averaged = _averaged(params, states)
    averages = [real(local(states[param][NAME])) for param in averaged]
    current = [real(local(param).detach()) for param in averaged]
    weight = weight_of_step(t)
    alike = [(x, w) for x, w in zip(averages, current, strict=True) if x.dtype == w.dtype]
    choose(foreach, averaged if alike else []).lerp_(
        [x for x, _ in alike], [w for _, w in alike], weight
    )
    for x, w in zip(averages, current, strict=True):
        if x.dtype != w.dtype:  # one after the other, since each makes a copy of w
            x.lerp_(w.to(x.dtype), weight)


@contextmanager
def lent(params: Sequence[Tensor], states: States) -> Iterator[None]:
    """A context in which parameters are their averages, rounded to their type; exact to the bit.

    Of parameters whose type is the average's nothing is copied: the two are swapped.
    """
    pairs = [(param, states[param][NAME]) for param in _averaged(params, states)]
    averaged = [(local(param).detach(), local(average)) for param, average in pairs]
    swapped = [(w, x) for w, x in averaged if x.dtype == w.dtype]
    rounded = [(w, x, w.clone()) for w, x in averaged if x.dtype != w.dtype]
    swap([w for w, _ in swapped], [x for _, x in swapped])
    for w, x, _ in rounded:
        w.copy_(x)
    try:
        yield
    finally:
        swap([w for w, _ in swapped], [x for _, x in swapped])
        for w, _, before in rounded:
            w.copy_(before)


def load_averages(
    params: Sequence[Tensor], states: States, saved: Iterable[Mapping[str, Any]]
) -> None:
    """Load averages in their own type; torch has cast them to the parameters'.

    Args:
        params: all parameters of the optimizer.
        states: their states, as torch has loaded them.
        saved: their saved states, in the same order.
    """
    for param, state in zip(params, saved, strict=True):
        if param in states and NAME in states[param]:
            average = state.get(NAME, states[param][NAME])
            states[param][NAME] = average.to(param.device, type_of_average(param))


@contextmanager
def statistics_of(forwards: Forwards, devices: Iterable[torch.device]) -> Iterator[None]:
    """A context in which BatchNorm's running statistics are the means over the forward passes.

    This holds for every layer that the passes call and that keeps statistics. Afterwards all
    buffers and the random generators are what they were before.
    """
    replay = Replay(devices)
    with replay.first_evaluation():
        _estimate([forwards] if callable(forwards) else forwards)
    try:
        yield
    finally:
        replay.rewind()


@torch.no_grad()
def _estimate(forwards: Iterable[Callable[[], object]]) -> None:
    found: dict[_BatchNorm, tuple[bool, float | None]] = {}

    def reset(module: nn.Module) -> None:
        if not isinstance(module, _BatchNorm) or module in found:
            return
        if module.running_mean is not None:
            found[module] = module.training, module.momentum
            module.reset_running_stats()
            module.momentum = None  # torch's word for a plain mean
            module.training = True

    try:
        with each_call(reset):
            for forward in forwards:
                forward()
    finally:
        for norm, (training, momentum) in found.items():
            norm.training, norm.momentum = training, momentum


def _averaged(params: Sequence[Tensor], states: States) -> list[Tensor]:
    return [param for param in params if NAME in states.get(param, {})]
