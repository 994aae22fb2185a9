"""The net below a held peak: notices when the loss rises by more than its noise. No torch.

Source: this project; docs/no_settings.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sls.judge import RunningMean

FADE = 0.95
"""The factor of the running mean of the loss."""
ERRORS = 3.0
"""The number of standard errors by which the mean has to rise above its level."""
CHECK_EVERY = 20
"""The number of losses that are read together."""
FIRST_LEVEL = 40
"""The level is the mean after so many losses."""


@dataclass(frozen=True, slots=True)
class Net:
    """The smoothed loss since the peak was held or last lowered, and its first level.

    Attributes:
        loss: the running mean of the losses that were finite.
        seen: the number of losses, finite or not.
        level: the mean after `FIRST_LEVEL` of them, or None before.
        level_error: its standard error.
        lost: whether most of the losses read last were not finite.
    """

    loss: RunningMean = RunningMean()  # noqa: RUF009 - frozen
    seen: int = 0
    level: float | None = None
    level_error: float = 0.0
    lost: bool = False

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Net:
        """The net from the values of `as_plain`."""
        return cls(**{**plain, "loss": RunningMean(**plain["loss"])})

    def with_losses(self, losses: Sequence[float]) -> Net:
        """The net after some more losses, in order."""
        finite = [loss for loss in losses if math.isfinite(loss)]
        mean = self.loss
        for loss in finite:
            mean = mean.with_value(loss, FADE)
        net = replace(
            self,
            loss=mean,
            seen=self.seen + len(losses),
            lost=2 * len(finite) < len(losses),
        )
        if net.level is None and net.seen >= FIRST_LEVEL and math.isfinite(mean.error):
            return replace(net, level=mean.mean, level_error=mean.error)
        return net

    @property
    def caught(self) -> bool:
        """Whether the peak has to be lowered: `mean − level > 3·√(se² + se_level²)`, or lost."""
        if self.lost:
            return True
        if self.level is None:
            return False
        noise = math.hypot(self.loss.error, self.level_error)
        return self.loss.mean - self.level > ERRORS * noise
