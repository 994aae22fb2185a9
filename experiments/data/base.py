"""What every source of data gives: batches of tensors, as a function of their indices."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""The first dimension of every entry is the example. `labels` is what is to be predicted; every
other key is a keyword of the model's `forward`."""


class Source(Protocol):
    """A split of a data set. It holds no state that changes.

    Besides the below it may have `labels` (int64 N where there are classes), `lengths` (int64 N)
    and `contents()`, from which `contents.digest` sees whether the data are still the same.
    """

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The batch of the examples `indices` (int64, one dimension, on the CPU).

        `generator` is for random augmentation; None: no augmentation. The result depends on
        nothing but the two arguments.
        """
        ...
