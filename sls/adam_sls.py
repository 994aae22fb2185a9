"""Adam-SLS: Adam with an Armijo line search along its momentum-free direction."""

from __future__ import annotations

from typing import Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import Armijo
from sls.directions import MomentumFreeAdam
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class AdamSLS(LineSearch):
    """`w ← w − η·m̂/(√v̂+ε)`, with η found along `d = g/(√v̂+ε)`.

    The condition is `f(w) − f(w − ηd) ≥ c·η·Σ g²/(√v̂+ε)`. The point that was tested is not the
    point that is kept: this is the paper's algorithm, and what `ALSALS` mends.

    Source: Vaswani et al. (2020), arXiv 2006.06835, with the constants with which the ALSALS
    paper compares (arXiv 2403.18519).

    Args:
        params: parameters or parameter groups.
        c: the share of the predicted decrease that is asked for, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·γ^{1/b}`.
        shrink: δ, in (0, 1).
        growth: γ, the growth of the step over an epoch, ≥ 1.
        n_batches_per_epoch: b; a search starts at `η_{k−1}·γ^{1/b}`.
        betas: β₁ and β₂ of Adam's moments.
        eps: ε of Adam's denominator.
        **shared: what all line searches have, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        c: float = 0.1,
        init_step: float = 0.1,
        shrink: float = 0.9,
        growth: float = 2.0,
        n_batches_per_epoch: int = 500,
        betas: tuple[float, float] = (0.9, 0.999),
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
                "n_batches_per_epoch": n_batches_per_epoch,
                "betas": betas,
                "eps": eps,
            },
            shared,
        )

    @classmethod
    def paper(cls, params: ParamsT, *, c: float = 0.1, weight_decay: float = 0.0) -> AdamSLS:
        """The paper's algorithm to the letter: no allowance for rounding."""
        return cls(params, c=c, weight_decay=weight_decay, tolerance=0.0)

    @property
    def direction(self) -> MomentumFreeAdam:
        """Momentum-free Adam's direction searched, Adam's taken."""
        return MomentumFreeAdam()

    @property
    def condition(self) -> Armijo:
        """Armijo's condition."""
        return Armijo(self.param_groups[0]["c"])
