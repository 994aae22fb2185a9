"""Adam-SLS: Adam with an Armijo line search along its momentum-free direction."""

from __future__ import annotations

from typing import Self, Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import Armijo
from sls.directions import MomentumFreeAdam
from sls.ken_sls import KenSLS
from sls.old_code import TakesTwoClosures
from sls.settings import SharedSettings
from sls.unit_search import UnitSearch

__all__ = ["AdamSLS", "KenSLS"]


class AdamSLS(TakesTwoClosures, UnitSearch):
    """Adam-SLS: Adam with an Armijo line search along its momentum-free direction.

    ```text
    input: params w, c, init_step η₋₁, shrink δ, growth γ, n_batches_per_epoch b,
           betas β₁, β₂, eps ε, weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)                                     f: the loss of mini-batch k
        m ← β₁·m + (1−β₁)·g,   m̂ ← m/(1−β₁ᵗ)          t = k + 1, all operations by element
        v ← β₂·v + (1−β₂)·g²,  v̂ ← v/(1−β₂ᵗ)
        d ← g/(√v̂ + ε)
        η ← η_{k−1}·γ^{1/b}
        while f(w) − f(w − η·d) < c·η·⟨g, d⟩ do
            η ← δ·η
        η_k ← η
        w ← w − a_k·η·(m̂/(√v̂ + ε) + λ·w)              a_k: annealing, 1 without total_steps
    ```

    η has the unit of w. The point that was tested is not the point that is kept: this is the
    paper's algorithm, and what `ALSALS` mends.

    Source: Vaswani et al. (2020), arXiv 2006.06835, with the constants with which the ALSALS paper
    compares (arXiv 2403.18519).

    Args:
        params: parameters or parameter groups, tensors of any shape. Several lists of parameters,
            `[[w1, w2], [w3]]`, are units with a step each, as in `PLASLS`.
        c: the required share of the predicted decrease, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·γ^{1/b}`.
        shrink: δ, in (0, 1).
        growth: γ, the growth of the step over an epoch, ≥ 1.
        n_batches_per_epoch: b, the number of steps per epoch.
        betas: β₁ and β₂ of Adam's moments, each in [0, 1).
        eps: ε of Adam's denominator, ≥ 0.
        **shared: the settings of all line searches, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch
        >>> from sls import AdamSLS
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer = AdamSLS([w], init_step=0.5, n_batches_per_epoch=10)
        >>> for _ in range(4):
        ...     loss = optimizer.step(lambda: w[0] ** 2 + 5 * w[1] ** 2)
        ...     print(f"{loss:.2f} {optimizer.last_step.step_size:.2f}")
        14.00 0.54
        7.15 0.57
        3.61 0.62
        2.84 0.66
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
    def paper(cls, params: ParamsT, *, c: float = 0.1, weight_decay: float = 0.0) -> Self:
        """The paper's algorithm to the letter: no allowance for rounding, no annealing.

        Args:
            params: parameters or parameter groups.
            c: the required share of the predicted decrease, in (0, 1).
            weight_decay: decoupled, λ in `w ← w − η·λ·w`.

        Raises:
            ValueError: a setting is out of its range.
        """
        return cls(params, c=c, weight_decay=weight_decay, tolerance=0.0)

    @property
    def direction(self) -> MomentumFreeAdam:
        """Momentum-free Adam's direction searched, Adam's taken."""
        return MomentumFreeAdam()

    @property
    def condition(self) -> Armijo:
        """Armijo's condition."""
        return Armijo(self.param_groups[0]["c"])
