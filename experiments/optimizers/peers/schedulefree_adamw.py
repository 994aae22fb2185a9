"""Schedule-free AdamW, of the package schedulefree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import schedulefree
import torch


class AdamWScheduleFree(schedulefree.AdamWScheduleFree):
    """`schedulefree.AdamWScheduleFree`, always ready for a step.

    The parameters are those that gradients are taken at, y, except within `averaged()`, where they
    are the average to be judged, x.
    """

    averages = True

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.train()

    @property
    def rate(self) -> float:
        """The rate of the last step, warm-up included."""
        return float(self.param_groups[0]["scheduled_lr"])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the parameters are the averaged ones; afterwards what they were, bit for bit.

        It needs room for one copy of the parameters.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        kept = [param.detach().clone() for param in params]
        self.eval()
        try:
            yield
        finally:
            self.train()
            # The peer computes y from x again, to rounding; training is not to see evaluations.
            with torch.no_grad():
                torch._foreach_copy_(params, kept)
