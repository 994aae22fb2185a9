"""Lists of tensors in pieces of bounded size, so that what is made of a piece stays in cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

SIZE = 2**18
"""Numbers in a piece: a megabyte of float32."""


def pieces(*lists: Sequence[Any], size: int = SIZE) -> Iterator[list[list[Any]]]:
    """The same lists in pieces, as views, in order: every piece has at most `size` numbers.

    Args:
        *lists: lists of equal length. The i-th tensors of all have one shape; a list may hold
            something else than tensors, which goes with every part of the i-th tensor.
        size: the most numbers of each list in a piece. A tensor that is not contiguous in every
            list is not divided.

    Yields:
        For each list its part of the piece.
    """
    piece: list[list[Any]] = [[] for _ in lists]
    room = size
    for row in zip(*lists, strict=True):
        for count, part in _parts(row, size):
            if count > room and piece[0]:
                yield piece
                piece, room = [[] for _ in lists], size
            for so_far, x in zip(piece, part, strict=True):
                so_far.append(x)
            room -= count
    if piece[0]:
        yield piece


def _parts(row: Sequence[Any], size: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """A row whole, if it is small enough or cannot be divided, else by and by."""
    tensors = [x for x in row if isinstance(x, Tensor)]
    count = tensors[0].numel()
    if count <= size or not all(x.is_contiguous() for x in tensors):
        yield count, row
        return
    flat = [x.view(-1) if isinstance(x, Tensor) else x for x in row]
    for start in range(0, count, size):
        end = min(start + size, count)
        yield end - start, [x[start:end] if isinstance(x, Tensor) else x for x in flat]
