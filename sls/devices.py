"""What the host and other devices, a GPU above all, ask for: pieces that fit, and few launches.

The host computes fastest on what its cache still has, and a call costs it little. On a GPU every
call is a launch of some microseconds, which large pieces make rare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ON_HOST = frozenset({"cpu"})
"""Devices whose numbers the host reads without waiting, and whose calls are no launches."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many numbers are computed with at once.

    Attributes:
        piece: of a list that is taken in pieces.
        whole: above so many, a list is taken in pieces, so that no copy of it is needed.
    """

    piece: int
    whole: int


HOST = Sizes(piece=2**18, whole=2**22)
"""A megabyte and sixteen megabytes of float32."""

DEVICE = Sizes(piece=2**24, whole=2**24)
"""64 megabytes of float32, in which Adam's moments of a direction make a workspace of 200."""


def on_host(device: torch.device) -> bool:
    """Whether the host reads the device's numbers without waiting."""
    return device.type in ON_HOST


def sizes_for(tensors: Iterable[Tensor]) -> Sizes:
    """The sizes where these tensors are."""
    return HOST if all(on_host(tensor.device) for tensor in tensors) else DEVICE
