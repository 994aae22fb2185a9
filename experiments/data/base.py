"""Sources of data: batches of tensors, as functions of the examples' indices."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from experiments.data.contents import Part, evenly_spaced
from experiments.errors import UserError

Batch = dict[str, Tensor]
"""The first dimension of every entry is the example. `labels` is the target; every other key is a
keyword of the model's `forward`."""


class Source(Protocol):
    """One split of a data set, without any state that changes.

    Optional members: `labels` (int64 N where there are classes), `lengths` (int64 N), and
    `contents()`, the parts that `contents.digest` compares to see whether the data have changed.
    """

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The batch of the examples `indices` (int64, one dimension, on the CPU).

        `generator` is for random augmentation; None: no augmentation. The result depends on
        nothing but the two arguments.
        """


class Subset:
    """The examples `indices` (int64, one dimension) of `source`, in that order."""

    def __init__(self, source: Source, indices: Tensor) -> None:
        self._source = source
        self._indices = indices
        for name in ("lengths", "labels"):
            values = getattr(source, name, None)
            if values is not None:
                setattr(self, name, values[indices])

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        return self._source.batch(self._indices[indices], generator)

    def contents(self) -> Iterator[Part]:
        yield self._indices
        yield from contents_of(self._source)


def contents_of(source: Source) -> Iterable[Part]:
    """The parts of `source.contents()`, or evenly spaced examples where it has no such method."""
    if hasattr(source, "contents"):
        parts: Iterable[Part] = source.contents()
        return parts
    batch = source.batch(torch.tensor(evenly_spaced(len(source))), None)
    return [batch[key] for key in sorted(batch)]


def require_text(value: Any, where: str, row: int) -> None:
    """Raise `UserError` unless `value`, of row `row` (counted from 0), is text."""
    if not isinstance(value, str):
        raise UserError(f"{where}: row {row} (of 0, 1, …) has no text, but {reprlib.repr(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: row {row} (of 0, 1, …) is not text: {error}") from error
