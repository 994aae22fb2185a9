"""ALSALS: Adam with a line search on a smoothed Armijo condition."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import ORANGE, LineStyle
from experiments.optimizers.shared import LineSearch
from experiments.settings import Beta, Betas


class ALSALS(LineSearch):
    """`sls.ALSALS`."""

    kind: Literal["alsals"] = "alsals"
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    beta3: Beta | None = None
    smoothing: Literal["paper", "ratio"] | None = None
    slope: Literal["exact", "finite_difference"] | None = None

    titles: ClassVar = {
        "alsals": "ALSALS",
        "alsals_paper": "ALSALS (paper)",
        "alsals_ratio": "ALSALS (ratio)",
    }
    lines: ClassVar = {"alsals": LineStyle(ORANGE, 2.5, marker="D", order=4.0)}
