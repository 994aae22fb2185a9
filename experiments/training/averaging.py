"""Optimizers that are judged at other weights than those they train, and how the loop asks them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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


def averages(optimizer: torch.optim.Optimizer) -> bool:
    """True if the optimizer is judged at other weights than those it trains."""
    return isinstance(optimizer, Averaging) and optimizer.averages


def judged_weights(optimizer: torch.optim.Optimizer) -> AbstractContextManager[object]:
    """Within, the parameters are those that the optimizer is judged by."""
    if isinstance(optimizer, Averaging) and optimizer.averages:
        return optimizer.averaged()
    return nullcontext()
