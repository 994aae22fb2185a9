"""SGD, of torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from experiments.optimizers.line_styles import DASHED, LIGHT_GREY, LineStyle
from experiments.optimizers.shared import Scheduled
from experiments.settings import Beta


class SGD(Scheduled):
    """`torch.optim.SGD`."""

    kind: Literal["sgd"] = "sgd"
    momentum: Beta = 0.0

    titles: ClassVar = {"sgd": "SGD"}
    lines: ClassVar = {"sgd": LineStyle(LIGHT_GREY, dashes=DASHED, marker="v", order=2.5)}
