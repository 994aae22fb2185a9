"""D-Adaptation for Adam, of the package dadaptation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from experiments.optimizers.line_styles import DASH_DOTTED, WINE, LineStyle
from experiments.optimizers.shared import AdaptedRate
from experiments.settings import Betas, Switch


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
