"""MoMo for Adam, of the package momo-opt."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import AMBER, DASH_DOTTED, LineStyle
from experiments.optimizers.shared import Params, Scheduled
from experiments.settings import Betas, Switch


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
