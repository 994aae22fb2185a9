"""SLS: stochastic gradient descent with an Armijo line search."""

from __future__ import annotations

from typing import Literal

from torch.optim.optimizer import ParamsT

from sls.conditions import Armijo, Memory
from sls.directions import SGD
from sls.line_search import LineSearch


class SLS(LineSearch):
    """`w ← w − η·g` with the largest tried η that satisfies `f(w) − f(w − ηg) ≥ c·η·‖g‖²`.

    The search of step k starts at `η_{k−1}·γ^{1/b}` and shrinks by δ.

    Source: Vaswani et al. (2019), *Painless Stochastic Gradient*, arXiv 1905.09997.

    Args:
        params: parameters or parameter groups.
        c: the share of the predicted decrease that is asked for, in (0, 1).
        init_step: the first step tried, > 0.
        shrink: δ, in (0, 1).
        growth: γ, the growth of the step over an epoch, ≥ 1.
        n_batches_per_epoch: b, the number of steps an epoch.
        max_trials: after as many rejected trials, the step is 1e-6.
        min_step: a search that would go below this keeps its last trial; 0: never.
        tolerance: decreases below this many roundings of the loss count as none needed.
        search: "every" step, or "adaptive": rarely while the step hardly changes (SaLSa).
        weight_decay: decoupled, λ in `w ← w − η·λ·w`; outside the comparison of losses.
        total_steps: the length of the run; with it, the step is annealed.
        anneal: the last share of the run, over which the step falls linearly to 0.
        foreach: torch's foreach kernels; None: where all parameters are plain tensors.

    Raises:
        ValueError: a setting is unknown or out of its range.
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
        max_trials: int = 100,
        min_step: float = 0.0,
        tolerance: float = 1.0,
        search: Literal["every", "adaptive"] = "every",
        weight_decay: float = 0.0,
        total_steps: int | None = None,
        anneal: float = 0.5,
        foreach: bool | None = None,
    ):
        super().__init__(
            params,
            {
                "c": c,
                "init_step": init_step,
                "shrink": shrink,
                "growth": growth,
                "n_batches_per_epoch": n_batches_per_epoch,
                "max_trials": max_trials,
                "min_step": min_step,
                "tolerance": tolerance,
                "search": search,
                "weight_decay": weight_decay,
                "total_steps": total_steps,
                "anneal": anneal,
                "foreach": foreach,
            },
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
        """The gradient."""
        return SGD()

    @property
    def growth(self) -> float:
        """`γ^{1/b}`."""
        group = self.param_groups[0]
        return float(group["growth"] ** (1 / group["n_batches_per_epoch"]))

    def condition(self, memory: Memory, slope: float) -> Armijo:
        """Armijo's."""
        return Armijo(self.param_groups[0]["c"], slope)
