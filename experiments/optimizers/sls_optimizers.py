"""Optimizers of `sls`: line searches along SGD or Adam, and PeakSLS, which measures its step."""

from __future__ import annotations

import inspect
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from experiments.errors import UserError
from experiments.optimizers.line_styles import (
    BLUE,
    DASHED,
    GREEN,
    MAGENTA,
    ORANGE,
    SKY,
    LineStyle,
)  # fmt: skip
from experiments.optimizers.shared import Built, OptimizerSettings, Params
from experiments.settings import Beta, Betas, OpenUnit, Share, Switch


class LineSearch(OptimizerSettings):
    """The settings that the line searches of `sls` share; null means the optimizer's own default.

    `anneal` is the share of the run over which the step is annealed to zero; null: never.
    """

    preset: Literal["default", "paper"] = "default"
    c: OpenUnit | None = None
    init_step: PositiveFloat | None = None
    shrink: OpenUnit | None = None
    growth: Annotated[float, Field(ge=1)] | None = None
    max_trials: PositiveInt | None = None
    interpolate: Switch | None = None
    search: Literal["every", "adaptive", "budget"] | None = None
    max_extra_forwards: PositiveFloat | None = Field(None, description="for search: budget")
    max_grad_norm: PositiveFloat | None = None
    weight_decay: float = Field(0.0, ge=0)
    anneal: Share | None = None

    no_arguments: ClassVar[frozenset[str]] = frozenset({"kind", "preset"})
    """Settings that the class of `sls` does not take."""

    def build(self, params: Params, *, total_steps: int, steps_per_epoch: int) -> Built:
        """The class of `sls` that has the name of these settings."""
        import sls

        name = type(self).__name__
        make = getattr(sls, name)
        settings = self.model_dump(exclude=set(self.no_arguments), exclude_none=True)
        if self.max_extra_forwards is not None and self.search != "budget":
            raise UserError("optimizer.max_extra_forwards: needs search: budget; leave it null")
        if self.preset == "paper":
            make = make.paper
            for key in settings:
                # The preset fixes it; to ignore the setting silently would be worse.
                if key not in inspect.signature(make).parameters:
                    raise UserError(
                        f"optimizer.{key}: {name} with preset 'paper' does not take it; "
                        "leave it null"
                    )
        if self.anneal is not None:
            settings["total_steps"] = total_steps
        if "n_batches_per_epoch" in inspect.signature(make).parameters:
            settings["n_batches_per_epoch"] = steps_per_epoch
        return make(params, **settings), None


class SLS(LineSearch):
    """`sls.SLS`."""

    kind: Literal["sls"] = "sls"

    titles: ClassVar = {"sls": "SLS", "sls_paper": "SLS (paper)"}
    lines: ClassVar = {"sls": LineStyle(SKY, marker="<", order=2.7)}


class AdamSLS(LineSearch):
    """`sls.AdamSLS`."""

    kind: Literal["adam_sls"] = "adam_sls"
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None

    titles: ClassVar = {"adam_sls": "Adam-SLS"}
    lines: ClassVar = {"adam_sls": LineStyle(BLUE, marker="s", order=2.9)}


class SaLSA(LineSearch):
    """`sls.SaLSA`."""

    kind: Literal["salsa"] = "salsa"
    direction: Literal["adam", "sgd"] | None = None
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    beta3: Beta | None = None

    titles: ClassVar = {"salsa": "SaLSa", "salsa_paper": "SaLSa (paper)", "salsa_sgd": "SGD-SaLSa"}
    lines: ClassVar = {"salsa": LineStyle(GREEN, marker="^", order=2.8)}


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
    lines: ClassVar = {
        "alsals": LineStyle(ORANGE, 2.5, marker="D", order=4.0),
        "alsals_paper": LineStyle(ORANGE, dashes=DASHED, marker="d", order=3.7),
    }


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
    max_grad_norm: PositiveFloat | None = None
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
