"""Some examples of another source."""

from __future__ import annotations

import torch
from torch import Tensor

from experiments.data.base import Batch, Source


class Subset:
    """The examples `indices` (int64, one dimension) of `source`, in that order."""

    def __init__(self, source: Source, indices: Tensor) -> None:
        self._source = source
        self._indices = indices
        lengths = getattr(source, "lengths", None)
        if lengths is not None:
            self.lengths: Tensor = lengths[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The batch of the examples `indices` of this subset."""
        return self._source.batch(self._indices[indices], generator)
