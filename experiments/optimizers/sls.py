"""SLS: stochastic gradient descent with an Armijo line search."""

from __future__ import annotations

from typing import ClassVar, Literal

from experiments.optimizers.line_styles import SKY, LineStyle
from experiments.optimizers.shared import LineSearch


class SLS(LineSearch):
    """`sls.SLS`."""

    kind: Literal["sls"] = "sls"

    titles: ClassVar = {"sls": "SLS", "sls_paper": "SLS (paper)"}
    lines: ClassVar = {"sls": LineStyle(SKY, marker="<", order=2.7)}
