"""PLASLS: Adam-SLS with a step for each unit of parameters, searched in turn."""

from __future__ import annotations

from typing import Any, NoReturn, Unpack

from torch.optim.optimizer import Optimizer, ParamsT

from sls.adam_sls import AdamSLS
from sls.settings import SharedSettings


class PLASLS(AdamSLS):
    """PLASLS: Adam-SLS with a step for each unit of parameters, searched in turn.

    ```text
    input: units w₁ … w_U of the params w, c, init_step η₋₁, shrink δ, growth γ,
           n_batches_per_epoch b, betas β₁, β₂, eps ε, weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)                                     f: the whole loss of mini-batch k
        m ← β₁·m + (1−β₁)·g,   m̂ ← m/(1−β₁ᵗ)          t = k + 1, all operations by element
        v ← β₂·v + (1−β₂)·g²,  v̂ ← v/(1−β₂ᵗ)
        u ← the unit whose last search is the longest ago      k < 6: all units, as one
        d ← g/(√v̂ + ε) in u, 0 elsewhere
        η ← η_u·γ^{1/b}
        while f(w) − f(w − η·d) < c·η·⟨g, d⟩ do
            η ← δ·η
        η_u ← η                                       k < 6: for all units
        for all units j do
            w_j ← w_j − a_k·η_j·(m̂_j/(√v̂_j + ε) + λ·w_j)       a_k: annealing, 1 without total_steps
    ```

    η has the unit of w. With one unit this is `AdamSLS`, to the bit.

    - `group["lr"]` is the step of a unit, `last_step` the record of the search: its slope is the
      searched unit's own.
    - A step whose search fails moves no unit, and changes the numbers of the searched unit alone.
      A gradient that is not finite, in whichever unit, is a failed step.
    - Units without a gradient, such as frozen ones, are passed over. A unit whose slope is exactly
      zero is not searched: all units take their own steps (`repeated`).
    - The units share one step until a search has succeeded, if the first six all fail.
    - With `search="adaptive"` the next unit is taken among those whose search is due.

    Source: Kenneweg et al. (2023), *Faster Convergence for Transformer Fine-tuning with Line Search
    Methods*, arXiv 2403.18506. The units there are the embeddings, groups of encoder layers, and
    the head: `sls.units.by_layer`. The paper says nothing of failed searches.

    Args:
        units: parameter groups, each a unit, as `sls.units` makes them; or a list of iterables of
            parameters.
        c: the required share of the predicted decrease, in (0, 1).
        init_step: η₋₁, > 0; the first step tried is `η₋₁·γ^{1/b}`.
        shrink: δ, in (0, 1).
        growth: γ; a unit's step grows by `γ^{1/b}` from one of its searches to the next, ≥ 1.
        n_batches_per_epoch: b, the number of steps per epoch.
        betas: β₁ and β₂ of Adam's moments, each in [0, 1).
        eps: ε of Adam's denominator, ≥ 0.
        **shared: the settings of all line searches, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range, or a parameter is in two units.

    Examples:
        >>> import torch
        >>> from sls import PLASLS
        >>> flat = torch.nn.Parameter(torch.tensor([3.0]))
        >>> steep = torch.nn.Parameter(torch.tensor([-1.0]))
        >>> optimizer = PLASLS([[flat], [steep]], init_step=0.5, n_batches_per_epoch=10)
        >>> for _ in range(30):
        ...     loss = optimizer.step(lambda: (flat**2 + 5 * steep**2).sum())
        >>> print(" ".join(f"{step_size:.2f}" for step_size in optimizer.step_sizes))
        1.74 0.61
    """

    def __init__(
        self,
        units: ParamsT,
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
            units,
            c=c,
            init_step=init_step,
            shrink=shrink,
            growth=growth,
            n_batches_per_epoch=n_batches_per_epoch,
            betas=betas,
            eps=eps,
            **shared,
        )
        self.make_units()

    @classmethod
    def around(cls, optimizer: Optimizer, *others: Optimizer, **settings: Any) -> NoReturn:
        """Refuse: the base steps for all of its parameters at once, PLASLS searches one unit.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "a PLASLS around another optimizer is not possible: its units are searched one by one, "
            "and the base steps for all parameters at once; use ALSALS.around or AdamSLS.around"
        )

    @property
    def step_sizes(self) -> list[float]:
        """The step η of each unit, in the order of the units."""
        return [float(group["lr"]) for group in self.param_groups]
