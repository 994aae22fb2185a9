"""Prodigy, of the package prodigyopt."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from experiments.optimizers.line_styles import DASH_DOTTED, PURPLE, LineStyle
from experiments.optimizers.shared import AdaptedRate
from experiments.settings import Betas, Switch


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
