"""BatchNorm's running statistics at weights that were never trained at, such as an average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# The largest number of batches to average over.
BATCHES = 50


@contextmanager
def statistics_of(model: nn.Module, forwards: Iterable[Callable[[], object]]) -> Iterator[None]:
    """Within, running means and variances are the plain means of those of the forward passes.

    Afterwards they are what they were. The passes are made without gradients and in evaluation
    mode but for BatchNorm, so that no dropout draws a random number. Where the model has no such
    layer, or trains in evaluation mode and so never moves them, no pass is made.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms or not model.training:
        yield
        return
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        _estimate(model, norms, forwards)
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)


@torch.no_grad()
def _estimate(
    model: nn.Module, norms: list[_BatchNorm], forwards: Iterable[Callable[[], object]]
) -> None:
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain mean
            norm.train()
        for forward in forwards:
            forward()
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train()
