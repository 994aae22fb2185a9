"""Optimizers that are judged at other weights than those they train, and how the loop asks them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Averaging(Protocol):
    """An optimizer that may hold an average of its weights, which is to be judged and kept."""

    @property
    def averages(self) -> bool:
        """False where it has been told to do without; then `averaged` is not called."""

    def averaged(self) -> AbstractContextManager[object]:
        """Within, the parameters are the average; afterwards what they were, bit for bit."""


def averaging_of(optimizer: torch.optim.Optimizer) -> Averaging | None:
    """The optimizer, if it is judged at other weights than those it trains; else None."""
    return optimizer if isinstance(optimizer, Averaging) and optimizer.averages else None
