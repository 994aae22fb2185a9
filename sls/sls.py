"""SLS: stochastic gradient descent with an Armijo line search."""

from __future__ import annotations

from typing import Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import Armijo
from sls.directions import SGD
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class SLS(LineSearch):
    """SLS: stochastic gradient descent with an Armijo line search.

    ```text
    input: params w, c, init_step η₋₁, shrink δ, growth γ, n_batches_per_epoch b, weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)                                     f: the loss of mini-batch k
        η ← η_{k−1}·γ^{1/b}
        while f(w) − f(w − η·g) < c·η·‖g‖² do
            η ← δ·η
        η_k ← η
        w ← w − a_k·η·(g + λ·w)                       a_k: annealing, 1 without total_steps
    ```

    η has the unit of w²/f. After `max_trials` rejected trials the step 1e-6 is taken if it does not
    raise the loss.

    Source: Vaswani et al. (2019), *Painless Stochastic Gradient*, arXiv 1905.09997.

    Args:
        params: parameters or parameter groups, tensors of any shape.
        c: the required share of the predicted decrease, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·γ^{1/b}`.
        shrink: δ, in (0, 1).
        growth: γ, the growth of the step over an epoch, ≥ 1.
        n_batches_per_epoch: b, the number of steps per epoch.
        **shared: the settings of all line searches, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch
        >>> from sls import SLS
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer = SLS([w], n_batches_per_epoch=10)
        >>> for _ in range(4):
        ...     loss = optimizer.step(lambda: w[0] ** 2 + 5 * w[1] ** 2)
        ...     print(f"{loss:.2f} {optimizer.last_step.step_size:.2f}")
        14.00 0.22
        10.09 0.17
        5.02 0.18
        3.22 0.18
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
        """The paper's algorithm to the letter: no allowance for rounding, no annealing.

        Args:
            params: parameters or parameter groups.
            c: the required share of the predicted decrease, in (0, 1).
            n_batches_per_epoch: b, the number of steps per epoch.
            weight_decay: decoupled, λ in `w ← w − η·λ·w`.

        Raises:
            ValueError: a setting is out of its range.
        """
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
