"""SLS: stochastic gradient descent with an Armijo line search."""

from __future__ import annotations

from typing import Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import Armijo
from sls.directions import SGD
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class SLS(LineSearch):
    """`w ← w − η·g` with the largest tried η that satisfies `f(w) − f(w − ηg) ≥ c·η·‖g‖²`.

    The search of step k starts at `η_{k−1}·γ^{1/b}` and shrinks by δ.

    Source: Vaswani et al. (2019), *Painless Stochastic Gradient*, arXiv 1905.09997.

    Args:
        params: parameters or parameter groups.
        c: the share of the predicted decrease that is asked for, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·γ^{1/b}`.
        shrink: δ, in (0, 1).
        growth: γ, the growth of the step over an epoch, ≥ 1.
        n_batches_per_epoch: b, the number of steps an epoch.
        **shared: what all line searches have, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.
    """

    fallback_step = 1e-6

    def __init__(
        self,
        params: ParamsT,
        *,
        c: float = 0.1,
        init_step: float = 1.0,
        shrink: float = 0.9,
        growth: float = 2.0,
        n_batches_per_epoch: int = 500,
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
            },
            shared,
        )

    @classmethod
    def paper(
        cls,
        params: ParamsT,
        *,
        c: float = 0.1,
        n_batches_per_epoch: int = 500,
        weight_decay: float = 0.0,
    ) -> SLS:
        """The paper's algorithm to the letter: no allowance for rounding."""
        return cls(
            params,
            c=c,
            n_batches_per_epoch=n_batches_per_epoch,
            weight_decay=weight_decay,
            tolerance=0.0,
        )

    @property
    def direction(self) -> SGD:
        """The gradient, searched and taken."""
        return SGD()

    @property
    def condition(self) -> Armijo:
        """Armijo's condition."""
        return Armijo(self.param_groups[0]["c"])
