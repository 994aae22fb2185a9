"""NAdamW: Adam with Nesterov momentum and decoupled weight decay, of torch."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import DASH_DOTTED, GREY, LineStyle
from experiments.optimizers.shared import Params, Scheduled
from experiments.settings import Betas


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
