"""The anchor: a point that the parameters came from, at which later mini-batches look back.

While the peak is looked for, `state[p]["anchor"]` holds a copy `a` of every parameter that has had
a gradient: one copy, dropped when the peak is held. Decoupled weight decay shrinks the anchor as it
shrinks the parameters, so that `a − w` is what the directions alone have moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sls.arithmetic import Tensors, choose, copy_all, local, real, swap
from sls.directions import exact_slope
from sls.parameters import States
from sls.pieces import pieces

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
        here = [(w, a) for w, a in self._anchored() if w.grad is not None]
        params, anchors = _plain(here)
        grads = [real(local(w.grad)) for w, _ in here if w.grad is not None]
        arithmetic = choose(None, params)

        def pairs() -> Iterator[tuple[Tensors, Tensors]]:
            for parts in pieces(grads, params, anchors):
                g, w, a = ([part.of(xs) for part in parts] for xs in (grads, params, anchors))
                yield g, arithmetic.sub(a, w)

        return exact_slope(pairs(), device)

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
        params, anchors = _plain(self._anchored())
        copy_all(params, anchors)

    def drop_here(self) -> None:
        """Put the anchor where the parameters are."""
        params, anchors = _plain(self._anchored())
        copy_all(anchors, params)
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
        swap(*_plain(self._anchored()))


def _plain(anchored: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensors, Tensors]:
    """The parameters and the anchors in this process, as real tensors."""
    pairs = [(real(local(w).detach()), real(local(a))) for w, a in anchored]
    return [w for w, _ in pairs], [a for _, a in pairs]
