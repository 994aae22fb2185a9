"""SaLSa: a smoothed Armijo line search that searches rarely."""

from __future__ import annotations

from typing import Literal, Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import SmoothedArmijo
from sls.directions import SGD, MomentumFreeAdam
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class SaLSA(LineSearch):
    """Smoothed Armijo `β₃·h + (1−β₃)·Δ(η) ≥ c·η·s` along momentum-free Adam, or SGD.

    With `direction="adam"` the search goes along `g/(√v̂+ε)` and the step along `m̂/(√v̂+ε)`: as
    in the paper, the point that was tested is not the point that is kept. With
    `direction="sgd"` both are the gradient. A search takes place every L steps, L from the ratio
    of two running means of the step (`sls.step_sizes.StepMeans`).

    Source: Kenneweg et al. (2024), *No learning rates needed: Introducing SALSA*, arXiv
    2407.20650. The defaults are the constants of the authors' package; `SaLSA.paper` has those
    of the time of the paper.

    Args:
        params: parameters or parameter groups.
        c: the share of the predicted decrease that is asked for, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·growth`.
        shrink: δ, in (0, 1).
        growth: the growth of the step from one search to the next, ≥ 1.
        direction: "adam" or "sgd".
        betas: β₁ and β₂ of Adam's moments; without effect for SGD, like `eps`.
        beta3: β₃, the factor of the running means h and s.
        eps: ε of Adam's denominator.
        **shared: see `sls.settings.SharedSettings`; `search` is "adaptive" by default here.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        c: float = 0.5,
        init_step: float = 1.0,
        shrink: float = 0.8,
        growth: float = 1.1,
        direction: Literal["adam", "sgd"] = "adam",
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.9,
        eps: float = 1e-8,
        **shared: Unpack[SharedSettings],
    ):
        super().__init__(
            params,
            {
                "c": c,
                "init_step": init_step,
                "shrink": shrink,
                "growth": growth,
                "direction": direction,
                "betas": betas,
                "beta3": beta3,
                "eps": eps,
            },
            {"search": "adaptive", **shared},
        )

    @classmethod
    def paper(
        cls,
        params: ParamsT,
        *,
        c: float = 0.3,
        direction: Literal["adam", "sgd"] = "adam",
        weight_decay: float = 0.0,
    ) -> SaLSA:
        """The constants of the time of the paper, and no allowance for rounding."""
        return cls(
            params,
            c=c,
            direction=direction,
            weight_decay=weight_decay,
            init_step=0.1,
            shrink=0.9,
            growth=2 ** (1 / 500),
            beta3=0.99,
            tolerance=0.0,
        )

    @property
    def direction(self) -> SGD | MomentumFreeAdam:
        """Momentum-free Adam searched and Adam taken, or SGD for both."""
        return SGD() if self.param_groups[0]["direction"] == "sgd" else MomentumFreeAdam()

    @property
    def condition(self) -> SmoothedArmijo:
        """The smoothed Armijo condition."""
        group = self.param_groups[0]
        return SmoothedArmijo(group["c"], group["beta3"])
