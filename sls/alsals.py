"""ALSALS: Adam with a smoothed Armijo line search along its own direction."""

from __future__ import annotations

from typing import Any, Literal, Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import RatioArmijo, SmoothedArmijo
from sls.directions import FIRST_DIFFERENCE, Adam
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class ALSALS(LineSearch):
    """ALSALS: Adam with a smoothed Armijo line search along its own direction.

    ```text
    input: params w, c, init_step η₋₁, shrink δ, growth, betas β₁, β₂, beta3 β₃, eps ε,
           weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)                                     f: the loss of mini-batch k
        m ← β₁·m + (1−β₁)·g,   m̂ ← m/(1−β₁ᵗ)          t = k + 1, all operations by element
        v ← β₂·v + (1−β₂)·g²,  v̂ ← v/(1−β₂ᵗ)
        d ← m̂/(√v̂ + ε)
        s ← β₃·s + (1−β₃)·⟨g, d⟩                      s = h = 0 at first
        c' ← c where s > 0, else 1/c
        η ← η_{k−1}·growth
        while β₃·h + (1−β₃)·(f(w) − f(w − η·d)) < c'·η·s do
            η ← δ·η
        h ← β₃·h + (1−β₃)·(f(w) − f(w − η·d))
        η_k ← η
        w ← w − a_k·η·(d + λ·w)                       a_k: annealing, 1 without total_steps
    ```

    η has the unit of w. With `smoothing="ratio"` the condition is `h_try ≥ c·s_try`, and s is the
    running mean of `η·p`, `p = ⟨g, d⟩`: what each step promised. With the paper's means the slopes
    of the first steps, by far the largest of a run, let every later step pass; with the ratio each
    step pays for itself, and the search goes on rejecting. It needs a shorter memory and a faster
    growth: `beta3=0.9, growth=2 ** (1 / 64)`.

    Source: Kenneweg et al. (2024), *Improving Line Search Methods for Large Scale Neural Network
    Training*, arXiv 2403.18519. The slope is exact here where the paper estimates it: that costs
    one dot product and no forward pass. `ALSALS.paper` is the paper's algorithm to the letter. The
    smoothing by ratio is this project's.

    Args:
        params: parameters or parameter groups, tensors of any shape.
        c: the required share of the predicted decrease, in (0, 1); 0.3 to 0.7 work.
        init_step: η₋₁, > 0; the first step tried is `η₋₁·growth`. For pretrained models 1e-4.
        shrink: δ, in (0, 1).
        growth: the growth of the step from one search to the next, ≥ 1.
        betas: β₁ and β₂ of Adam's moments, each in [0, 1).
        beta3: β₃, the factor of the running means h and s, in [0, 1).
        eps: ε of Adam's denominator, ≥ 0.
        smoothing: "paper", or "ratio" (ours).
        slope: "exact", `⟨g, d⟩`, or the paper's "finite_difference", which costs forward passes.
        **shared: the settings of all line searches, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch
        >>> from sls import ALSALS
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer = ALSALS([w], init_step=0.5)
        >>> for _ in range(4):
        ...     loss = optimizer.step(lambda: w[0] ** 2 + 5 * w[1] ** 2)
        ...     print(f"{loss:.2f} {optimizer.last_step.step_size:.2f}")
        14.00 0.50
        7.49 0.50
        4.02 0.50
        2.87 0.50
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        c: float = 0.3,
        init_step: float = 0.1,
        shrink: float = 0.9,
        growth: float = 1 / 0.999,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.99,
        eps: float = 1e-8,
        smoothing: Literal["paper", "ratio"] = "paper",
        slope: Literal["exact", "finite_difference"] = "exact",
        **shared: Unpack[SharedSettings],
    ):
        super().__init__(
            params,
            {
                "c": c,
                "init_step": init_step,
                "shrink": shrink,
                "growth": growth,
                "betas": betas,
                "beta3": beta3,
                "eps": eps,
                "smoothing": smoothing,
                "slope": slope,
            },
            shared,
        )

    @classmethod
    def paper(cls, params: ParamsT, *, c: float = 0.3, weight_decay: float = 0.0) -> ALSALS:
        """The paper's algorithm to the letter.

        The slope is estimated by a finite difference, a search that would fall below 5e-9 keeps its
        last trial, there is no allowance for rounding and no annealing. The paper's scripts use c =
        0.3 for text and 0.5 for images.

        Args:
            params: parameters or parameter groups.
            c: the required share of the predicted decrease, in (0, 1).
            weight_decay: decoupled, λ in `w ← w − η·λ·w`.

        Raises:
            ValueError: a setting is out of its range.
        """
        return cls(
            params,
            c=c,
            weight_decay=weight_decay,
            slope="finite_difference",
            min_step=FIRST_DIFFERENCE,
            tolerance=0.0,
        )

    @property
    def direction(self) -> Adam:
        """Adam's direction with momentum, searched and taken."""
        return Adam()

    @property
    def condition(self) -> SmoothedArmijo | RatioArmijo:
        """The smoothed Armijo condition, with the paper's means or by ratio."""
        group = self.param_groups[0]
        smoothed = RatioArmijo if group["smoothing"] == "ratio" else SmoothedArmijo
        return smoothed(group["c"], group["beta3"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`; one without `smoothing` is older and has the paper's.

        Raises:
            ValueError: the state is that of another optimizer, or of other groups.
        """
        groups = [{"smoothing": "paper", **group} for group in state_dict.get("param_groups", [])]
        super().load_state_dict({**state_dict, "param_groups": groups})
