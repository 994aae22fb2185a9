"""Reading numbers from a device."""

from __future__ import annotations

import torch
from torch import Tensor


def read(*numbers: Tensor) -> list[float]:
    """Several scalars in one synchronisation, in the best precision among them."""
    device = numbers[0].device
    dtype = torch.float32
    for number in numbers:
        dtype = torch.promote_types(dtype, number.dtype)
    return [
        float(x) for x in torch.stack([n.to(device=device, dtype=dtype) for n in numbers]).tolist()
    ]
