"""Adam-SLS: an Armijo line search along Adam's direction."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import BLUE, LineStyle
from experiments.optimizers.shared import LineSearch
from experiments.settings import Betas


class AdamSLS(LineSearch):
    """`sls.AdamSLS`."""

    kind: Literal["adam_sls"] = "adam_sls"
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None

    titles: ClassVar = {"adam_sls": "Adam-SLS"}
    lines: ClassVar = {"adam_sls": LineStyle(BLUE, marker="s", order=2.9)}
