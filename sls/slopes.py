"""The slope `p = ⟨g, d⟩`: the decrease per unit step that a linear model of the loss predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sls.arithmetic import Tensors

FIRST_DIFFERENCE, LAST_DIFFERENCE = 5e-9, 1.0


def exact_slope(pairs: Iterable[tuple[Tensors, Tensors]], device: torch.device) -> Tensor:
    """`p = ⟨g, d⟩` over all (gradients, direction) pairs, in float32 or better, on `device`."""
    partial = [
        _dot(g, d).to(device, non_blocking=True)
        for gradients, direction in pairs
        for g, d in zip(gradients, direction, strict=True)
    ]
    if not partial:
        return torch.zeros((), device=device)
    dtype = torch.float64 if any(x.dtype == torch.float64 for x in partial) else torch.float32
    return torch.stack([x.to(dtype) for x in partial]).sum()


def _dot(x: Tensor, y: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.dot(x.reshape(-1).to(dtype), y.reshape(-1).to(dtype))


def finite_difference_slope(loss: float, loss_at: Callable[[float], float]) -> float:
    """`p ≈ (f(w) − f(w − ε·d))/ε`, the estimate of the ALSALS paper (arXiv 2403.18519).

    ε is 5e-9 and grows tenfold while the difference is exactly zero, up to 1. In float32 the
    result is rounding noise; the optimizers' default is the exact slope.

    Args:
        loss: `f(w)`.
        loss_at: `f(w − ε·d)`, one forward pass a call.
    """
    eps = FIRST_DIFFERENCE
    estimate = (loss - loss_at(eps)) / eps
    while estimate == 0 and eps * 10 <= LAST_DIFFERENCE:
        eps *= 10
        estimate = (loss - loss_at(eps)) / eps
    return estimate
