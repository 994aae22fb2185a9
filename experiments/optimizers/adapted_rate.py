"""Prodigy, of the package prodigyopt, and D-Adaptation for Adam, of the package dadaptation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat

from experiments.optimizers.line_styles import DASH_DOTTED, PURPLE, WINE, LineStyle
from experiments.optimizers.shared import Params, Scheduled
from experiments.settings import Betas, Switch


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
