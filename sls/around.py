"""The direction of other torch optimizers, read off one step of theirs: `d = w − base(w)`.

The base takes its step at a rate of 1, the parameters go back, to the bit, and what the step has
moved is the direction. Its state has moved then; if our step fails, the state goes back too.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from sls.arithmetic import Tensors, choose, local, real
from sls.directions import Direction
from sls.parameters import GroupTensors, States
from sls.settings import GROUP_SCALE, check
from sls.snapshot import Snapshot

INITIAL = "base_lr"
"""The key, in our parameter groups, of the base's learning rate before any scheduler."""

NAME = "base"
"""The key, in our groups and in our state of each parameter, of the base's part of it."""

OF_THE_BASE = ("betas", "eps", "weight_decay", "direction")
"""Settings that belong to the base."""

UNFIT: Mapping[type[Optimizer], str] = {
    torch.optim.ASGD: "it averages its parameters",
    torch.optim.Adafactor: "its step is not proportional to its lr",
    torch.optim.Rprop: "its step is not proportional to its lr",
}

ROUNDING = 1e-6
"""By so much a scheduler may exceed the initial rate, and a share of it differ from a scale."""


class Base:
    """Torch optimizers that give the direction; they keep their settings, groups and state.

    Args:
        optimizers: one, or several with a part of the parameters each.

    Attributes:
        optimizers: the same.

    Raises:
        TypeError: one is no torch optimizer, or of a kind that gives no direction.
        ValueError: a setting of one rules that out, or every learning rate is 0.
    """

    def __init__(self, optimizers: Sequence[Optimizer]):
        for optimizer in optimizers:
            _refuse_unfit(optimizer)
        self.optimizers = tuple(optimizers)
        if not any(initial_rate(group) for group in self.param_groups):
            raise ValueError(
                f"every lr of {self.name} is 0; their ratios are the scale of the groups' "
                "directions, so one must be positive"
            )

    @property
    def name(self) -> str:
        """The classes of the optimizers, for messages."""
        return " and ".join(type(optimizer).__name__ for optimizer in self.optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers, in order."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def refuse_settings(self, settings: Mapping[str, Any], where: str) -> None:
        """Raise if a setting is the base's.

        Raises:
            ValueError: names it.
        """
        for name in OF_THE_BASE:
            if name in settings:
                raise ValueError(
                    f"{name} is {self.name}'s own: set it there, not in {where}.around"
                )

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group to the optimizer.

        Raises:
            ValueError: the optimizer refuses the group, there are several optimizers, or a setting
                rules a direction out.
        """
        if len(self.optimizers) > 1:
            raise ValueError(
                f"a new parameter group could go to any of {self.name}; "
                "build the line search anew around them"
            )
        (optimizer,) = self.optimizers
        optimizer.add_param_group(group)
        try:
            where = f"parameter group {len(self.param_groups) - 1} of {self.name}"
            _refuse_unfit_group(self.param_groups[-1], where)
        except ValueError:
            self.drop_last_group()
            raise

    def drop_last_group(self) -> None:
        """Take back `add_param_group`."""
        del self.optimizers[-1].param_groups[-1]

    @contextmanager
    def reading(self, groups: Sequence[Mapping[str, Any]]) -> Iterator[Reading]:
        """The base's direction for one step of ours; afterwards its state is as it should be.

        Args:
            groups: our parameter groups, with the initial rates.

        Raises:
            RuntimeError: the base has other groups.
            ValueError: a learning rate is above the initial one.
        """
        ours = [len(group["params"]) for group in groups]
        if ours != [len(group["params"]) for group in self.param_groups]:
            raise RuntimeError(
                f"the parameter groups of {self.name} have changed; "
                "add groups to the line search, which passes them on"
            )
        reading = Reading(self, *self._rates([group[INITIAL] for group in groups]))
        try:
            yield reading
        finally:
            reading.finish()

    def step(self, rates: Sequence[float]) -> None:
        """Let all optimizers step, each group at its rate; their own rates are put back."""
        groups = self.param_groups
        own = [group["lr"] for group in groups]
        try:
            for group, lr, rate in zip(groups, own, rates, strict=True):
                group["lr"] = torch.full_like(lr, rate) if isinstance(lr, Tensor) else rate
            for optimizer in self.optimizers:
                optimizer.step()
        finally:
            for group, lr in zip(groups, own, strict=True):
                group["lr"] = lr

    def show_state(self, states: States) -> None:
        """Let our state of each parameter refer to the base's.

        torch.distributed.checkpoint looks there for the names of what it saves and loads.
        """
        for optimizer in self.optimizers:
            for param, theirs in optimizer.state.items():
                if theirs and isinstance(param, Tensor):
                    states.setdefault(param, {})[NAME] = theirs

    def load_state_dict(self, saved: Sequence[Mapping[str, Any]]) -> None:
        """Load the class and the state of each optimizer.

        Raises:
            ValueError: the state is that of other optimizers, or of other groups.
        """
        name = " and ".join(part["class"] for part in saved)
        if name != self.name:
            raise ValueError(f"this state_dict was saved around {name}, not around {self.name}")
        for optimizer, part in zip(self.optimizers, saved, strict=True):
            optimizer.load_state_dict(part["state_dict"])
            _restore_types_of_counters(optimizer, part["state_dict"])

    def _rates(self, initial: Sequence[float]) -> tuple[float, list[float]]:
        """The factor of the schedulers on our step, and the rate of each group.

        The rate is 1 in the first group, in others their ratio to it, times `lr_scale`. Where
        schedulers lower the groups by different factors, the largest is that of the step.
        """
        groups = self.param_groups
        factors = [
            self._factor(i, group["lr"], first)
            for i, (group, first) in enumerate(zip(groups, initial, strict=True))
        ]
        factor = max(f for f, first in zip(factors, initial, strict=True) if first > 0)
        reference = next(first for first in initial if first > 0)
        share = [f / factor if factor > 0 else 1.0 for f in factors]
        scales = _scales_beside(share, [float(group.get(GROUP_SCALE, 1.0)) for group in groups])
        rates = [first / reference * s for first, s in zip(initial, share, strict=True)]
        return factor, [rate * scale for rate, scale in zip(rates, scales, strict=True)]

    def _factor(self, i: int, lr: float | Tensor, initial: float) -> float:
        now = float(lr)
        if not 0 <= now <= initial * (1 + ROUNDING):
            raise ValueError(
                f"lr of parameter group {i} of {self.name} is {now:.6g}, and was {initial:.6g} at "
                "first: schedulers of the base scale the step that the line search finds, and may "
                "only lower it"
            )
        return min(1.0, now / initial) if initial > 0 else 1.0


class Reading(Direction):
    """The base's direction in one step: `d = w − base(w)`, searched and taken.

    The base steps once, when the direction is first asked for. Until `commit` a copy of its state
    is kept, to go back to; a step that is taken in any case (`step`) needs none.

    Args:
        base: the optimizers.
        factor: the factor of their schedulers on the step.
        rates: the rate of each of their groups.

    Attributes:
        factor: the same.
    """

    def __init__(self, base: Base, factor: float, rates: Sequence[float]):
        self.factor = factor
        self._base = base
        self._rates = rates
        self._kept = False
        self._before: Snapshot | None = None
        self._moves: dict[Tensor, Tensor] | None = None

    def searched(self, group: GroupTensors) -> Tensors:
        """What the base's step moves."""
        if self._moves is None:
            self._moves = self._step()
        return [self._moves[param] for param in group.raw_params]

    def commit(self, group: GroupTensors) -> None:
        """Keep the state that the base has now."""
        self._kept = True
        self._before = None

    def step(self, group: GroupTensors, step_size: float, decay: float) -> None:
        """Move by what the base's step moves; committed first, it needs no copy of the state."""
        self.commit(group)
        group.step(self.searched(group), step_size, decay)

    def finish(self) -> None:
        """Put the base's state back if the step has failed; drop all copies."""
        if self._before is not None:
            self._before.restore()
        self._before = self._moves = None

    def _step(self) -> dict[Tensor, Tensor]:
        groups = self._base.param_groups
        params = [p for p in chain(*(group["params"] for group in groups)) if p.requires_grad]
        if not self._kept:
            self._before = Snapshot(self._base.optimizers)
        here = [real(local(param).detach()) for param in params]
        arithmetic = choose(None, params)
        origin = arithmetic.clone(here)
        try:
            self._base.step(self._rates)
            moves = arithmetic.sub(origin, here)
        finally:
            arithmetic.copy_(here, origin)
        return dict(zip(params, moves, strict=True))


def _scales_beside(shares: Sequence[float], scales: Sequence[float]) -> Sequence[float]:
    """The scales of the groups, or 1 where a scheduler has them in its rates, as timm's do."""
    largest = max(scales)
    within = [
        abs(share - scale / largest) <= ROUNDING
        for share, scale in zip(shares, scales, strict=True)
    ]
    return [1.0] * len(scales) if all(within) else scales


def initial_rate(group: Mapping[str, Any]) -> float:
    """The learning rate of a base's group, before any scheduler."""
    return float(group.get("initial_lr", group["lr"]))


def params_of(group: Mapping[str, Any]) -> list[Any]:
    """The parameters of a base's group, with their names where it has names."""
    if "param_names" in group:
        return list(zip(group["param_names"], group["params"], strict=True))
    return list(group["params"])


def _restore_types_of_counters(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Give scalars of a loaded state the type they were saved with.

    torch casts them to the parameter's, as NAdam's float32 product, and then a resumed run is not
    the uninterrupted one to the bit.
    """
    keys = chain(*(group["params"] for group in saved["param_groups"]))
    params = chain(*(group["params"] for group in optimizer.param_groups))
    for key, param in zip(keys, params, strict=True):
        for name, value in saved["state"].get(key, {}).items():
            loaded = optimizer.state[param].get(name)
            if isinstance(value, Tensor) and value.ndim == 0 and isinstance(loaded, Tensor):
                optimizer.state[param][name] = value.detach().to(loaded.device, copy=True)


def _refuse_unfit(optimizer: object) -> None:
    """Raise if no direction can be read off this optimizer's steps.

    Raises:
        TypeError: for what it is.
        ValueError: for a setting.
    """
    if not isinstance(optimizer, Optimizer):
        given = optimizer.__name__ if isinstance(optimizer, type) else type(optimizer).__name__
        raise TypeError(
            "around takes a torch optimizer with its parameters, as "
            f"torch.optim.AdamW(model.parameters()); got {given}"
        )
    name = type(optimizer).__name__
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(f"a line search around {name} is not possible: its step needs a closure")
    if callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None)):
        raise TypeError(
            f"a line search around {name} is not possible: it has train() and eval(), so the "
            "parameters are not the point that its steps start from"
        )
    for unfit, reason in UNFIT.items():
        if isinstance(optimizer, unfit):
            raise TypeError(f"a line search around {name} is not possible: {reason}")
    for i, group in enumerate(optimizer.param_groups):
        _refuse_unfit_group(group, f"parameter group {i} of {name}")


def _refuse_unfit_group(group: Mapping[str, Any], where: str) -> None:
    lr = group.get("lr")
    if not isinstance(lr, (int, float, Tensor)) or not math.isfinite(lr):
        raise ValueError(
            f"lr of {where} must be a number, to know the scale of its step; got {lr!r}"
        )
    if GROUP_SCALE in group:
        check({GROUP_SCALE: group[GROUP_SCALE]}, where)
    for name, reason in (
        ("maximize", "a line search minimizes the loss"),
        ("differentiable", "a line search moves the parameters in place"),
    ):
        if group.get(name):
            raise ValueError(f"{name} of {where} must be False: {reason}")
