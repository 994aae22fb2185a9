"""Optimizers of other packages: momo-opt, prodigyopt, dadaptation, schedulefree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PositiveFloat

from experiments.optimizers.line_styles import (
    AMBER,
    DASH_DOTTED,
    INDIGO,
    PURPLE,
    WINE,
    LineStyle,
)  # fmt: skip
from experiments.optimizers.shared import Built, Params, Scheduled
from experiments.settings import Beta, Betas, OpenUnit, Switch, list_as_tuple


class MomoAdam(Scheduled):
    """`momo.MomoAdam`; `lr` bounds the step that it finds."""

    kind: Literal["momo_adam"] = "momo_adam"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)
    lb: float = Field(0.0, description="a lower bound of the loss")
    use_fstar: Switch = Field(False, description="estimate the lower bound")

    module = "momo"
    package = "momo-opt"
    titles: ClassVar = {"momo_adam": "MoMo-Adam"}
    lines: ClassVar = {"momo_adam": LineStyle(AMBER, dashes=DASH_DOTTED, marker="h")}

    def make(self, params: Params, **arguments: Any) -> Any:
        """The optimizer, whose `state_dict` is complete.

        It leaves three numbers out: how many steps it took, its running mean of the losses and its
        lower bound of them. Without them a resumed run is another one.
        """
        optimizer = super().make(params, **arguments)
        names = {"steps": "_number_steps", "loss_avg": "loss_avg", "lb": "lb"}

        def add(optimizer: Any, state: dict[str, Any]) -> None:
            state["momo"] = {key: getattr(optimizer, name) for key, name in names.items()}

        def take(optimizer: Any, state: dict[str, Any]) -> None:
            for key, name in names.items():
                setattr(optimizer, name, state["momo"][key])

        optimizer.register_state_dict_post_hook(add)
        optimizer.register_load_state_dict_pre_hook(take)
        return optimizer


class AdaptedRate(Scheduled):
    """An optimizer that estimates the distance d to a solution; the rate of a step is d·lr."""

    def make(self, params: Params, **arguments: Any) -> Any:
        """The optimizer, which keeps the `rate` of its last step: it updates d within the step."""

        def keep(optimizer: Any, *_arguments: Any) -> None:
            group = optimizer.param_groups[0]
            optimizer.rate = float(group["d"]) * float(group["lr"])

        optimizer = super().make(params, **arguments)
        optimizer.register_step_pre_hook(keep)
        return optimizer


class Prodigy(AdaptedRate):
    """`prodigyopt.Prodigy`; the rate of a step is `lr` times its estimate d."""

    kind: Literal["prodigy"] = "prodigy"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    d0: PositiveFloat = Field(1e-6, description="the first estimate")
    d_coef: PositiveFloat = Field(1.0, description="multiplies the estimate")
    use_bias_correction: Switch = False
    safeguard_warmup: Switch = Field(False, description="for a schedule with warm-up")

    module = "prodigyopt"
    titles: ClassVar = {"prodigy": "Prodigy"}
    lines: ClassVar = {"prodigy": LineStyle(PURPLE, dashes=DASH_DOTTED, marker="X")}


class DAdaptAdam(AdaptedRate):
    """`dadaptation.DAdaptAdam`; the rate of a step is `lr` times its estimate d."""

    kind: Literal["dadapt_adam"] = "dadapt_adam"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    d0: PositiveFloat = Field(1e-6, description="the first estimate")
    decouple: Switch = Field(False, description="weight decay as AdamW's")
    use_bias_correction: Switch = False

    module = "dadaptation"
    titles: ClassVar = {"dadapt_adam": "D-Adapt Adam"}
    lines: ClassVar = {"dadapt_adam": LineStyle(WINE, dashes=DASH_DOTTED, marker=">")}


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
            """Within, the parameters are the averaged ones; afterwards as before, bit for bit."""
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
