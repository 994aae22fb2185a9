"""Adam, of torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import BLACK, LineStyle
from experiments.optimizers.shared import Scheduled
from experiments.settings import Betas


class Adam(Scheduled):
    """`torch.optim.Adam`."""

    kind: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)

    titles: ClassVar = {"adam": "Adam"}
    lines: ClassVar = {"adam": LineStyle(BLACK, 1.7, order=3.0)}
