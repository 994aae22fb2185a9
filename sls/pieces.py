"""Lists of tensors in pieces of bounded size: what is made of a piece stays small, or in cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from sls.devices import sizes_for


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of a list, or a part of it.

    Attributes:
        number: its place in the list.
        numbers: which of its numbers, in order, or None: all.
    """

    number: int
    numbers: slice | None = None

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensor of this list, or a flat view of the part."""
        tensor = tensors[self.number]
        return tensor if self.numbers is None else tensor.view(-1)[self.numbers]


def pieces(*lists: Sequence[Tensor], size: int | None = None) -> Iterator[list[Part]]:
    """Lists in pieces, in order: every piece has at most `size` numbers of each list.

    Args:
        *lists: lists of equal length, the i-th tensors of one shape. A tensor is divided only where
            it is contiguous in all lists.
        size: the most numbers in a piece, if its tensors can be divided; by default what suits
            the device of the first list.

    Yields:
        The parts of the piece.
    """
    piece: list[Part] = []
    size = sizes_for(lists[0]).piece if size is None else size
    room = size
    for number, row in enumerate(zip(*lists, strict=True)):
        for part, count in _parts(number, row, size):
            if count > room and piece:
                yield piece
                piece, room = [], size
            piece.append(part)
            room -= count
    if piece:
        yield piece


def _parts(number: int, row: Sequence[Tensor], size: int) -> Iterator[tuple[Part, int]]:
    count = row[0].numel()
    if count <= size or not all(x.is_contiguous() for x in row):
        yield Part(number), count
        return
    for start in range(0, count, size):
        end = min(start + size, count)
        yield Part(number, slice(start, end)), end - start
