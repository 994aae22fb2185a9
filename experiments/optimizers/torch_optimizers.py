"""Optimizers of torch."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import (
    BLACK,
    DASH_DOTTED,
    DASHED,
    DOTTED,
    GREY,
    LIGHT_GREY,
    LineStyle,
)  # fmt: skip
from experiments.optimizers.shared import Params, Scheduled
from experiments.settings import Beta, Betas


class SGD(Scheduled):
    """`torch.optim.SGD`."""

    kind: Literal["sgd"] = "sgd"
    momentum: Beta = 0.0

    titles: ClassVar = {"sgd": "SGD"}
    lines: ClassVar = {"sgd": LineStyle(LIGHT_GREY, dashes=DASHED, marker="v", order=2.5)}


class Adam(Scheduled):
    """`torch.optim.Adam`."""

    kind: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    titles: ClassVar = {"adam": "Adam"}
    lines: ClassVar = {"adam": LineStyle(BLACK, 1.7, order=3.0)}


class AdamW(Scheduled):
    """`torch.optim.AdamW`."""

    kind: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    titles: ClassVar = {"adamw": "AdamW"}
    lines: ClassVar = {"adamw": LineStyle(GREY, dashes=DOTTED, marker="P", order=2.6)}


class NAdamW(Scheduled):
    """`torch.optim.NAdam` with decoupled weight decay and β₁ at every step, without its rise."""

    kind: Literal["nadamw"] = "nadamw"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    titles: ClassVar = {"nadamw": "NAdamW", "algoperf_nadamw": "NAdamW (AlgoPerf)"}
    lines: ClassVar = {"nadamw": LineStyle(GREY, dashes=DASH_DOTTED, marker="d")}

    def make(self, params: Params, **arguments: Any) -> Any:
        # torch's momentum rises, μₜ = β₁(1 - ½·0.96^(t·decay)); this makes it β₁ at once.
        decay = {"momentum_decay": math.inf, "decoupled_weight_decay": True}
        return self.named("NAdam")(params, **arguments, **decay)
