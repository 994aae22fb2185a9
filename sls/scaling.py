"""Loss scaling for float16: the part of a `torch.amp.GradScaler` in one step.

    scale the loss → backward → divide the gradients by the scale → step → update the scale

A gradient that overflows is infinite or NaN, which every optimizer here refuses as a slope that is
not finite; the scaler then lowers its scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer

HALF_PARAMETERS = """\
a GradScaler needs float32 parameters, and these are torch.float16: keep the model in float32 and \
run its forward pass under torch.autocast(device, dtype=torch.float16)"""

BACKWARD_WITHOUT_SCALE = """\
with scaler=, a closure that runs backward() itself must scale the loss for it. Return the loss \
without backward(), `lambda: criterion(model(inputs), targets)`, or take the keywords `backward` \
and `scale` and run `scale(loss).backward()` if `backward`."""


class NoScale:
    """The scale of a step without a scaler: 1."""

    used = False

    def scale(self, loss: Tensor) -> Tensor:
        """The loss as it is."""
        return loss

    def unscale(self) -> None:
        """Do nothing: gradients are what they should be."""

    def update(self) -> None:
        """Do nothing: there is no scale."""


class Scale(NoScale):
    """The scale of a step with a scaler; call `update` once after `unscale`.

    Args:
        scaler: the user's, enabled.
        optimizer: whose gradients are unscaled.
    """

    used = True

    def __init__(self, scaler: GradScaler, optimizer: Optimizer):
        self._scaler = scaler
        self._optimizer = optimizer

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale, to run backward on."""
        return self._scaler.scale(loss)

    def unscale(self) -> None:
        """Divide the gradients by the scale, in place; the scaler notes whether all are finite."""
        self._scaler.unscale_(self._optimizer)

    def update(self) -> None:
        """Lower the scale if a gradient was not finite; else raise it now and then."""
        self._scaler.update()


def scale_of(
    scaler: GradScaler | None, optimizer: Optimizer, params: Sequence[Tensor]
) -> NoScale | Scale:
    """The scale for one step.

    Raises:
        TypeError: `scaler` is no GradScaler.
        ValueError: parameters in float16, whose gradients no scaler can unscale.
    """
    if scaler is None:
        return NoScale()
    if not isinstance(scaler, GradScaler):
        raise TypeError(f"scaler must be a torch.amp.GradScaler; got {scaler!r:.60}")
    if not scaler.is_enabled():
        return NoScale()
    if any(param.dtype == torch.float16 for param in params):
        raise ValueError(HALF_PARAMETERS)
    return Scale(scaler, optimizer)
