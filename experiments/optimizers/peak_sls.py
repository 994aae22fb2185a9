"""PeakSLS: a step size measured on fresh mini-batches, of `sls`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat

from experiments.errors import UserError
from experiments.optimizers.line_styles import DASHED, MAGENTA, LineStyle
from experiments.optimizers.shared import Built, OptimizerSettings, Params
from experiments.settings import Betas, Share, Switch


class PeakSLS(OptimizerSettings):
    """`sls.PeakSLS`, whose step is not set but measured on fresh mini-batches.

    Null means the optimizer's own default. Where the length of the run is known, the step is
    annealed to zero over the last share `anneal`; with `averaging`, averaged weights are evaluated.
    """

    kind: Literal["peak_sls"] = "peak_sls"
    length_known: Switch = Field(True, description="false: total_steps is withheld from it")
    anneal: Share | None = None
    averaging: Switch | None = None
    direction: Literal["adam", "sgd"] | None = None
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    init_step: PositiveFloat | None = None
    weight_decay: float = Field(0.0, ge=0)

    titles: ClassVar = {"peak_sls": "PeakSLS", "peak_sls_averaged": "PeakSLS (averaged)"}
    lines: ClassVar = {
        "peak_sls": LineStyle(MAGENTA, 2.2, marker="*", order=3.9),
        "peak_sls_averaged": LineStyle(MAGENTA, dashes=DASHED, marker="*", order=3.8),
    }

    def build(self, params: Params, *, total_steps: int, steps_per_epoch: int) -> Built:
        import sls

        settings = self.model_dump(exclude={"kind", "length_known"}, exclude_none=True)
        if self.length_known:
            settings["total_steps"] = total_steps
        elif self.anneal is not None:
            raise UserError("optimizer.anneal: needs length_known: true; leave it null")
        return sls.PeakSLS(params, **settings), None
