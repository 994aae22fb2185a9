"""Some examples of another source."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from experiments.data.base import Batch, Source
from experiments.data.contents import Part, contents_of


class Subset:
    """The examples `indices` (int64, one dimension) of `source`, in that order."""

    def __init__(self, source: Source, indices: Tensor) -> None:
        self._source = source
        self._indices = indices
        lengths = getattr(source, "lengths", None)
        if lengths is not None:
            self.lengths: Tensor = lengths[indices]
        labels = getattr(source, "labels", None)
        if labels is not None:
            self.labels: Tensor = labels[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The batch of the examples `indices` of this subset."""
        return self._source.batch(self._indices[indices], generator)

    def contents(self) -> Iterator[Part]:
        """Which examples, and the contents of the whole source."""
        yield self._indices
        yield from contents_of(self._source)
