"""AdamW, of torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import DOTTED, GREY, LineStyle
from experiments.optimizers.shared import Scheduled
from experiments.settings import Betas


class AdamW(Scheduled):
    """`torch.optim.AdamW`."""

    kind: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    titles: ClassVar = {"adamw": "AdamW"}
    lines: ClassVar = {"adamw": LineStyle(GREY, dashes=DOTTED, marker="P", order=2.6)}
