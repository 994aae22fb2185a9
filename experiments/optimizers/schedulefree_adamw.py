"""Schedule-Free AdamW, of the package schedulefree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from experiments.optimizers.line_styles import DASH_DOTTED, INDIGO, LineStyle
from experiments.optimizers.shared import Built, Params, Scheduled
from experiments.settings import Beta, OpenUnit, list_as_tuple


class ScheduleFreeAdamW(Scheduled):
    """`schedulefree.AdamWScheduleFree`, which warms up by itself, evaluated at averaged weights.

    `r` is the power of the step's number in the weights of the average.
    """

    kind: Literal["schedulefree_adamw"] = "schedulefree_adamw"
    schedule: Literal["constant"] = "constant"
    betas: Annotated[tuple[OpenUnit, Beta], BeforeValidator(list_as_tuple)] = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)
    r: float = Field(0.0, ge=0)

    module = "schedulefree"
    titles: ClassVar = {
        "schedulefree_adamw": "Schedule-Free AdamW",
        "algoperf_schedulefree": "Schedule-Free AdamW (AlgoPerf)",
    }
    lines: ClassVar = {"schedulefree_adamw": LineStyle(INDIGO, dashes=DASH_DOTTED, marker="p")}

    def build(self, params: Params, *, total_steps: int, steps_per_epoch: int) -> Built:
        """The optimizer, always ready for a step; it needs no scheduler."""
        make = _always_training(self.named("AdamWScheduleFree"))
        warmup_steps = self.warmup_steps(total_steps)
        return make(params, warmup_steps=warmup_steps, **self.arguments()), None


def _always_training(theirs: Any) -> Any:
    """A subclass of the package's class `theirs` whose parameters are y, where gradients are taken.

    Within `averaged()` they are x, the average, which is evaluated.
    """
    import torch

    class AlwaysTraining(theirs):  # type: ignore[misc]  # the package has no types
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
            """Within, the parameters are the averaged ones; afterwards as before, bit for bit.

            It needs room for one copy of the parameters.
            """
            params = [param for group in self.param_groups for param in group["params"]]
            kept = [param.detach().clone() for param in params]
            self.eval()
            try:
                yield
            finally:
                self.train()
                # The package computes y from x again, to rounding; training must not depend on
                # evaluations.
                with torch.no_grad():
                    torch._foreach_copy_(params, kept)

    return AlwaysTraining
