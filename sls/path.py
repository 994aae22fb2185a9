"""The points `w − η·d` of one parameter group, with d whole or made anew piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sls.arithmetic import Tensors
from sls.directions import Direction, checked, exact_slope
from sls.parameters import GroupTensors


class Path:
    """The points `w − η·d` of one parameter group.

    The whole d is kept, unless the direction is pointwise and the group large. It is then made
    anew wherever it is needed, and no more than a piece of it is there at a time.

    Args:
        group: the parameters, at w.
        direction: where d comes from, as it is searched; its `pointwise` is asked.
    """

    def __init__(self, group: GroupTensors, direction: Direction):
        self.group = group
        self._direction = direction
        in_pieces = direction.pointwise and group.is_large
        self._whole = None if in_pieces else checked(direction.searched(group), group)

    def parts(self) -> Iterator[tuple[GroupTensors, Tensors]]:
        """The group and d, or pieces of both."""
        if self._whole is not None:
            yield self.group, self._whole
            return
        for piece in self.group.pieces():
            yield piece, self._direction.searched(piece)

    def move(self, step_size: float) -> None:
        """Go to `w − η·d`; needs `remember_origin`."""
        for part, d in self.parts():
            part.move(step_size, d)
        self.group.has_moved()

    def take(self, step_size: float, decay: float) -> None:
        """Go to `w − η·d − decay·w` without a way back, and commit."""
        if self._whole is None or self._direction.pointwise:
            self._direction.step(self.group, step_size, decay)
        else:
            self.group.step(self._whole, step_size, decay)
            self._direction.commit(self.group)


def slope(paths: Sequence[Path], device: torch.device) -> Tensor:
    """`p = ⟨g, d⟩` of these paths together, from the parameters that are here."""
    pairs = ((part.grads, d) for path in paths for part, d in path.parts())
    return exact_slope(pairs, device)


def slope_and_move(paths: Sequence[Path], device: torch.device, step_size: float) -> Tensor:
    """`slope`, and go to `w − η·d`, so that d is made once; needs `remember_origin`."""

    def pairs() -> Iterator[tuple[Tensors, Tensors]]:
        for path in paths:
            for part, d in path.parts():
                yield part.grads, d
                part.move(step_size, d)
            path.group.has_moved()

    return exact_slope(pairs(), device)
