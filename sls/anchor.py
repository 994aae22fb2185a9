"""The anchor: a point that the parameters came from, at which later mini-batches look back.

While the peak is looked for, `state[p]["anchor"]` holds a copy `a` of every parameter that has had
a gradient: one copy, dropped when the peak is held. Decoupled weight decay shrinks the anchor as it
shrinks the parameters, so that `a − w` is what the directions alone have moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sls.arithmetic import local, real, swap
from sls.directions import exact_slope
from sls.parameters import States

NAME = "anchor"


class Anchor:
    """The anchors of those parameters that have one.

    Args:
        params: all parameters of the optimizer.
        states: the optimizer's state of each parameter.
    """

    def __init__(self, params: Sequence[Tensor], states: States):
        self._params = params
        self._states = states

    @property
    def known(self) -> bool:
        """Whether there is an anchor to look back at."""
        return any(NAME in self._states.get(param, {}) for param in self._params)

    def slope(self, device: torch.device) -> Tensor:
        """`⟨∇f_k(w_k), a − w_k⟩`, a scalar on `device`: > 0 where going on still descends.

        Of sharded parameters the part of this process.
        """
        pairs = (
            ([real(local(param.grad))], [real(local(anchor)) - real(local(param).detach())])
            for param, anchor in self._anchored()
            if param.grad is not None
        )
        return exact_slope(pairs, device)

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Within, the parameters are at the anchor; afterwards where they were, to the bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def go_back(self) -> None:
        """Put the parameters at the anchor, to stay."""
        for param, anchor in self._anchored():
            local(param).detach().copy_(local(anchor))

    def drop_here(self) -> None:
        """Put the anchor where the parameters are."""
        for param, anchor in self._anchored():
            local(anchor).copy_(local(param).detach())
        self.complete()

    def complete(self) -> None:
        """Give an anchor to those that have none and are about to move for the first time."""
        for param in self._params:
            if param.grad is not None and NAME not in self._states.get(param, {}):
                self._states.setdefault(param, {})[NAME] = param.detach().clone()

    def decay(self, params: Sequence[Tensor], amount: float) -> None:
        """`a ← a − amount·a` for these parameters: what weight decay does to them."""
        for param in params:
            if amount != 0 and NAME in self._states.get(param, {}):
                local(self._states[param][NAME]).mul_(1 - amount)

    def forget(self) -> None:
        """Drop the copies."""
        for param, _ in self._anchored():
            del self._states[param][NAME]

    def _anchored(self) -> list[tuple[Tensor, Tensor]]:
        there = [param for param in self._params if NAME in self._states.get(param, {})]
        return [(param, self._states[param][NAME]) for param in there]

    def _exchange(self) -> None:
        for param, anchor in self._anchored():
            swap(local(param).detach(), local(anchor))
