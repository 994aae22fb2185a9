"""SaLSa: a line search on a smoothed Armijo condition, along Adam or SGD."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from experiments.optimizers.line_styles import GREEN, LineStyle
from experiments.optimizers.shared import LineSearch
from experiments.settings import Beta, Betas


class SaLSA(LineSearch):
    """`sls.SaLSA`."""

    kind: Literal["salsa"] = "salsa"
    direction: Literal["adam", "sgd"] | None = None
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    beta3: Beta | None = None

    titles: ClassVar = {"salsa": "SaLSa", "salsa_paper": "SaLSa (paper)", "salsa_sgd": "SGD-SaLSa"}
    lines: ClassVar = {"salsa": LineStyle(GREEN, marker="^", order=2.8)}
