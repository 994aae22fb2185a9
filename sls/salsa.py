"""SaLSa: a smoothed Armijo line search that searches rarely."""

from __future__ import annotations

from typing import Literal, Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import SmoothedArmijo
from sls.directions import SGD, MomentumFreeAdam
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class SaLSA(LineSearch):
    """SaLSa: a smoothed Armijo line search that searches rarely.

    ```text
    input: params w, c, init_step η₋₁, shrink δ, growth, betas β₁, β₂, beta3 β₃, eps ε,
           weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)                                     f: the loss of mini-batch k
        m ← β₁·m + (1−β₁)·g,   m̂ ← m/(1−β₁ᵗ)          t = k + 1, all operations by element
        v ← β₂·v + (1−β₂)·g²,  v̂ ← v/(1−β₂ᵗ)
        η ← η_{k−1}
        if k < 10 or the last search is L steps ago then
            d ← g/(√v̂ + ε)                            direction="sgd": g
            s ← β₃·s + (1−β₃)·⟨g, d⟩                  s = h = 0 at first
            c' ← c where s > 0, else 1/c
            η ← η·growth
            while β₃·h + (1−β₃)·(f(w) − f(w − η·d)) < c'·η·s do
                η ← δ·η
            h ← β₃·h + (1−β₃)·(f(w) − f(w − η·d))
        η_k ← η
        F ← 0.9·F + 0.1·η,  S ← 0.99·S + 0.01·η       both start at the first step
        r ← max(F/S, S/F),  L ← round(1/(r−1)), within [1, 10]
        w ← w − a_k·η·(m̂/(√v̂ + ε) + λ·w)              direction="sgd": g + λ·w
    ```

    η has the unit of w, for SGD that of w²/f; a_k is the annealing factor, 1 without `total_steps`.
    With `direction="adam"` the point that was tested is not the point that is kept, as in the
    paper; with `direction="sgd"` both are the same.

    Source: Kenneweg et al. (2024), *No learning rates needed: Introducing SALSA*, arXiv 2407.20650.
    The defaults are the constants of the authors' package; `SaLSA.paper` has those of the time of
    the paper.

    Args:
        params: parameters or parameter groups, tensors of any shape.
        c: the required share of the predicted decrease, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·growth`.
        shrink: δ, in (0, 1).
        growth: the growth of the step from one search to the next, ≥ 1.
        direction: "adam" or "sgd".
        betas: β₁ and β₂ of Adam's moments, each in [0, 1); without effect for SGD, like `eps`.
        beta3: β₃, the factor of the running means h and s, in [0, 1).
        eps: ε of Adam's denominator, ≥ 0.
        **shared: see `sls.settings.SharedSettings`; `search` is "adaptive" by default here.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch
        >>> from sls import SaLSA
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer = SaLSA([w])
        >>> for _ in range(4):
        ...     loss = optimizer.step(lambda: w[0] ** 2 + 5 * w[1] ** 2)
        ...     print(f"{loss:.2f} {optimizer.last_step.step_size:.2f}")
        14.00 1.10
        3.66 1.21
        3.88 1.06
        2.97 0.94
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
        """The constants of the time of the paper; no allowance for rounding, no annealing.

        Args:
            params: parameters or parameter groups.
            c: the required share of the predicted decrease, in (0, 1).
            direction: "adam" or "sgd".
            weight_decay: decoupled, λ in `w ← w − η·λ·w`.

        Raises:
            ValueError: a setting is out of its range.
        """
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
