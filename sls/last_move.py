"""The last step `w_k = w_{k−1} − η·d`, looked at from its far end, and the way back along it.

While steps are judged, `state[p]["direction"]` holds d of every parameter that the last step
moved: one copy of the parameters, dropped when judging has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sls.arithmetic import Arithmetic, Tensors, choose
from sls.parameters import GroupTensors
from sls.slopes import exact_slope

States = dict[Tensor, dict[str, Any]]
NAME = "direction"


class LastMove:
    """The direction of the last step, as far as it is kept.

    Args:
        params: all parameters of the optimizer.
        states: the optimizer's state of each parameter.
        foreach: the optimizer's setting.
    """

    def __init__(self, params: Sequence[Tensor], states: States, foreach: bool | None):
        self._moved = [param for param in params if NAME in states.get(param, {})]
        self._states = states
        self._params = [_real(param.detach()) for param in self._moved]
        self._arithmetic: Arithmetic = choose(foreach, self._moved)

    @property
    def known(self) -> bool:
        """Whether there is a direction to look along."""
        return bool(self._moved)

    def slope(self, device: torch.device) -> Tensor:
        """The far-end slope `p_b = ⟨∇f_k(w_k), d_{k−1}⟩`, a scalar on `device`."""
        pairs = (
            ([_real(param.grad)], [direction])
            for param, direction in zip(self._moved, self._directions(), strict=True)
            if param.grad is not None
        )
        return exact_slope(pairs, device)

    @contextmanager
    def undone(self, step: float) -> Iterator[None]:
        """Within, the parameters are at `w_k + η·d`; afterwards at `w_k`, to the bit.

        The copy of `w_k` lives for a forward pass without a graph, and is gone before the next
        direction and its denominator, twice its size, are made.
        """
        here = [param.clone() for param in self._params]
        try:
            self.undo(step)
            yield
        finally:
            self._arithmetic.copy_(self._params, here)

    def undo(self, step: float) -> None:
        """Go to `w_k + η·d`, which is `w_{k−1}` but for rounding and weight decay."""
        self._arithmetic.add_(self._params, self._directions(), step)

    def forget(self) -> None:
        """Drop the direction."""
        for param in self._moved:
            del self._states[param][NAME]

    def _directions(self) -> Tensors:
        return [self._states[param][NAME] for param in self._moved]


def keep(groups: Sequence[GroupTensors], directions: Sequence[Tensors]) -> None:
    """Keep the directions of a step that was taken, after its state was."""
    for group, tensors in zip(groups, directions, strict=True):
        for state, direction in zip(group.states, tensors, strict=True):
            state[NAME] = direction


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
