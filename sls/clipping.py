"""Clipping of the gradient by its norm, and slopes of the gradient as it was before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sls.arithmetic import precise
from sls.parameters import GroupTensors
from sls.ranks import ALONE, Alone

EPS = 1e-6
"""Added to the norm, as `torch.nn.utils.clip_grad_norm_` does."""


def clip_(
    groups: Sequence[GroupTensors],
    max_norm: float | None,
    device: torch.device,
    ranks: Alone = ALONE,
) -> Tensor | None:
    """Scale the gradients in place by `min(1, max_norm/(‖g‖ + 1e-6))`; nothing is read.

    The norm is that of all gradients of all groups together, in float32 or better.

    Args:
        groups: the parameters with their gradients.
        max_norm: the greatest norm, or None: gradients stay as they are.
        device: where the factor is wanted.
        ranks: the processes that hold the parameters together.

    Returns:
        The factor, a scalar on `device`, for `unclipped`; None where `max_norm` is None. Where the
        norm is not finite, the factor is 0 or NaN.
    """
    if max_norm is None:
        return None
    norms = [norm for group in groups for norm in group.arithmetic.norms(group.grads)]
    dtype = precise(norms)
    norm = torch.linalg.vector_norm(torch.stack([x.to(device, dtype) for x in norms]))
    norm = ranks.norm(norm)
    factor: Tensor = (max_norm / (norm + EPS)).clamp(max=1.0)
    for group in groups:
        group.arithmetic.scale_(group.grads, factor)
    return factor


def unclipped(slope: Tensor, factor: Tensor | None) -> Tensor:
    """The slope `⟨g, d⟩` of the gradient before clipping, given that of the clipped one.

    The loss falls along d by its true gradient, however d was made. NaN or infinite where the
    norm was not finite.
    """
    return slope if factor is None else slope / factor
