"""The running average of the weights, and contexts in which the parameters are the average.

    x ← x + c_t·(w − x),   c_t = min(1, (1+γ)/(t+γ)),   γ = 8

after step t = 1, 2, …: a window of about t/9 steps, which needs no length of the run. Source: the
polynomial averaging of Shamir and Zhang (2013), arXiv 1212.1824, with the γ of DoG's authors
(Ivgi et al. 2023, arXiv 2302.12022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

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


def update_average(params: Sequence[Tensor], states: States, t: int, foreach: bool | None) -> None:
    """`x ← x + c_t·(w − x)` for all parameters that have moved; x starts at the first such w."""
    for param in params:
        if param.grad is not None and param in states and NAME not in states[param]:
            states[param][NAME] = param.detach().clone()
    averaged = _averaged(params, states)
    averages = [real(local(states[param][NAME])) for param in averaged]
    current = [real(local(param).detach()) for param in averaged]
    choose(foreach, averaged).lerp_(averages, current, weight_of_step(t))


@contextmanager
def lent(params: Sequence[Tensor], states: States) -> Iterator[None]:
    """A context in which parameters and averages are swapped, exact to the bit."""
    averaged = _averaged(params, states)
    for param in averaged:
        swap(local(param).detach(), local(states[param][NAME]))
    try:
        yield
    finally:
        for param in averaged:
            swap(local(param).detach(), local(states[param][NAME]))


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
