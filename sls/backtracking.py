"""Backtracking: a line search with a direction and a condition of the user's own."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from torch.optim.optimizer import ParamsT

from sls.conditions import Condition
from sls.directions import SGD, Direction
from sls.line_search import LineSearch
from sls.settings import SharedSettings


class Backtracking(LineSearch):
    """A backtracking line search along any direction, under any condition.

    ```text
    input: params w, direction, condition, init_step η₋₁, shrink δ, growth, weight_decay λ
    for k = 0, 1, … do
        g ← ∇f(w)
        d ← direction.searched(g),  p ← ⟨g, d⟩
        η ← η_{k−1}·growth
        while not condition.holds(η, f(w) − f(w − η·d), p):
            η ← δ·η
        w ← w − η·direction.taken(g) − η·λ·w
        direction.commit(g);  memory ← condition.memory_after(η, …)
    ```

    The directions and conditions of the other optimizers are in `sls.directions` and
    `sls.conditions`; your own derive from `sls.Direction` and `sls.Condition` and define one
    method. All that `LineSearch` promises holds: replayed random numbers and buffers, failing
    searches, annealing, `search="adaptive"`.

    The `state_dict` has the settings, the search's numbers and what the direction keeps in
    `group.state_tensors`. It does not have the two objects: build the optimizer with the same ones
    before `load_state_dict`.

    Args:
        params: parameters or parameter groups.
        direction: a `Direction`.
        condition: a `Condition`.
        init_step: η₋₁, > 0; the first step tried is `η₋₁·growth`.
        shrink: δ, in (0, 1).
        growth: the growth of the step from one search to the next, ≥ 1.
        betas: β₁ and β₂, for directions that read `group.settings["betas"]`, as Adam's.
        eps: ε, for directions that read `group.settings["eps"]`.
        **shared: the settings of all line searches, see `sls.settings.SharedSettings`.

    Raises:
        TypeError: a setting is unknown, or `direction` or `condition` lacks a method.
        ValueError: a setting is out of its range; in `step`, a direction of the wrong shape.

    Examples:
        >>> import torch
        >>> import sls
        >>> class Sign(sls.Direction):
        ...     def searched(self, group):
        ...         return [grad.sign() for grad in group.grads]
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> armijo = sls.conditions.Armijo(c=0.1)
        >>> optimizer = sls.Backtracking([w], direction=Sign(), condition=armijo)
        >>> for _ in range(4):
        ...     loss = optimizer.step(lambda: (w**2).sum())
        ...     print(f"{loss:.2f} {optimizer.last_step.status}")
        10.00 accepted
        3.62 accepted
        1.71 accepted
        0.46 accepted
    """

    settings_around: ClassVar[dict[str, Any]] = {"direction": SGD()}  # the base's takes its place

    def __init__(
        self,
        params: ParamsT,
        *,
        direction: Direction,
        condition: Condition,
        init_step: float = 1.0,
        shrink: float = 0.9,
        growth: float = 1.1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **shared: Unpack[SharedSettings],
    ):
        self._direction = direction
        self._condition = condition
        _check("direction", direction, Direction)
        _check("condition", condition, Condition)
        super().__init__(
            params,
            {
                "init_step": init_step,
                "shrink": shrink,
                "growth": growth,
                "betas": betas,
                "eps": eps,
            },
            shared,
        )

    @property
    def direction(self) -> Direction:
        """The direction that was given."""
        return self._direction

    @property
    def condition(self) -> Condition:
        """The condition that was given."""
        return self._condition

    def __getstate__(self) -> dict[str, Any]:
        # torch pickles and copies an optimizer without its other attributes.
        given = {"_direction": self._direction, "_condition": self._condition}
        return {**super().__getstate__(), **given}


def _check(name: str, given: object, protocol: type) -> None:
    """Raise if an object lacks a part of a protocol.

    Raises:
        TypeError: names what it lacks.
    """
    if isinstance(given, type):
        raise TypeError(f"{name} must be an object, not a class: write {given.__name__}()")
    parts = [part for part in vars(protocol) if not part.startswith("_")]
    lacking = [part for part in parts if not hasattr(given, part)]
    if lacking:
        raise TypeError(
            f"{name} {type(given).__name__} lacks {', '.join(lacking)}; "
            f"derive it from sls.{protocol.__name__}, which has defaults"
        )
