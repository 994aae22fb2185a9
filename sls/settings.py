"""The settings of an optimizer and their ranges; errors suggest the closest valid name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypedDict


class SharedSettings(TypedDict, total=False):
    """The settings that all line searches share; all of them are optional.

    Attributes:
        max_trials: the greatest number of trials of a search (100). If all are rejected, `SLS`
            takes a step of 1e-6 if that does not raise the loss; the others do not move.
        interpolate: skip trials that a parabola through the loss, the slope and the last trial
            rejects, up to a tenth of that trial (False): fewer forward passes where the first step
            is far too large.
        min_step: a search that would go below this keeps its last trial; 0, the default: never.
        tolerance: the loss may rise by this many roundings of the loss (1): a decrease is known
            no better.
        search: search in "every" step, or "adaptive": rarely while the step hardly changes
            (SaLSa's rule), or on a "budget" of forward passes.
        max_extra_forwards: with `search="budget"`, the forward passes for trials as a share of
            the steps (0.05). A search that takes more than was saved is paid back before the next;
            the searches until a first step is found come before any budget.
        weight_decay: decoupled, λ in `w ← w − η·λ·w`, outside the comparison of losses (0).
        total_steps: the length of the run; with it, the step is annealed (None).
        anneal: the last share of the run, over which the step falls linearly to 0 (0.5).
        max_grad_norm: clip the gradient of all parameters together to this norm before the
            direction is made; the slope stays that of the unclipped one (None: no clipping).
        foreach: use torch's foreach kernels; None, the default: if all parameters are plain
            tensors.
    """

    max_trials: int
    interpolate: bool
    min_step: float
    tolerance: float
    search: Literal["every", "adaptive", "budget"]
    max_extra_forwards: float
    weight_decay: float
    total_steps: int | None
    anneal: float
    max_grad_norm: float | None
    foreach: bool | None


SHARED_DEFAULTS: SharedSettings = {
    "max_trials": 100,
    "interpolate": False,
    "min_step": 0.0,
    "tolerance": 1.0,
    "search": "every",
    "max_extra_forwards": 0.05,
    "weight_decay": 0.0,
    "total_steps": None,
    "anneal": 0.5,
    "max_grad_norm": None,
    "foreach": None,
}

ADDED_LATER: Mapping[str, Any] = {
    "max_grad_norm": None,
    "max_extra_forwards": 0.05,
    "interpolate": False,
}
"""Settings that an older `state_dict` lacks, and the values with which it was made."""

GROUP_SCALE = "lr_scale"
"""A setting that groups alone have: the scale of their direction and weight decay; else it is 1."""

PER_GROUP = frozenset({"betas", "eps", "weight_decay", GROUP_SCALE})
"""Settings that may differ between parameter groups; all others are the same in all groups."""

GROUP_KEYS = frozenset({"params", "param_names", "name"})
"""Keys of a parameter group that are no settings."""


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    wanted: str


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _beta(value: Any) -> bool:
    return _number(value) and 0 <= value < 1


def _one_of(*choices: object) -> _Rule:
    return _Rule(lambda x: x in choices, "one of " + ", ".join(map(repr, choices)))


_OPEN_UNIT = _Rule(lambda x: _number(x) and 0 < x < 1, "a number in (0, 1)")
_POSITIVE = _Rule(lambda x: _number(x) and x > 0, "a positive number")
_NOT_NEGATIVE = _Rule(lambda x: _number(x) and x >= 0, "a number of at least 0")
_COUNT = _Rule(_count, "a whole number of at least 1")

_RULES: Mapping[str, _Rule] = {
    "c": _OPEN_UNIT,
    "init_step": _POSITIVE,
    "shrink": _OPEN_UNIT,
    "growth": _Rule(lambda x: _number(x) and x >= 1, "a number of at least 1"),
    "n_batches_per_epoch": _COUNT,
    "max_trials": _COUNT,
    "interpolate": _one_of(True, False),
    "min_step": _NOT_NEGATIVE,
    "tolerance": _NOT_NEGATIVE,
    "betas": _Rule(
        lambda x: isinstance(x, (tuple, list)) and len(x) == 2 and all(map(_beta, x)),
        "a pair of numbers in [0, 1)",
    ),
    "beta3": _Rule(_beta, "a number in [0, 1)"),
    "eps": _NOT_NEGATIVE,
    "slope": _one_of("exact", "finite_difference"),
    "smoothing": _one_of("paper", "ratio"),
    "direction": _one_of("adam", "sgd"),
    "search": _one_of("every", "adaptive", "budget"),
    "max_extra_forwards": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "total_steps": _Rule(lambda x: x is None or _count(x), "None or a whole number of at least 1"),
    "anneal": _Rule(lambda x: _number(x) and 0 < x <= 1, "a number in (0, 1]"),
    "max_grad_norm": _Rule(
        lambda x: x is None or (_number(x) and x > 0), "None or a positive number"
    ),
    "averaging": _one_of(True, False),
    "foreach": _one_of(None, True, False),
    GROUP_SCALE: _Rule(
        lambda x: _number(x) and x > 0,
        "a positive number (to freeze parameters, set requires_grad to False)",
    ),
}


def complete(own: Mapping[str, Any], shared: Mapping[str, Any], optimizer: str) -> dict[str, Any]:
    """All settings of an optimizer: its own, and the shared ones with their defaults.

    Raises:
        TypeError: a shared setting that does not exist; suggests the closest one that does.
        ValueError: a setting that is out of its range.
    """
    settings: dict[str, Any] = {**own, **SHARED_DEFAULTS}
    for name in shared:
        if name not in settings:
            raise TypeError(f"{optimizer} has no setting {name!r}{_nearest(name, settings)}")
    settings.update(shared)
    check(settings, optimizer)
    return settings


def check(settings: Mapping[str, Any], where: str) -> None:
    """Raise if a setting is out of its range.

    Raises:
        ValueError: names the setting, the place, the range and the value.
    """
    for name, value in settings.items():
        rule = _RULES[name]
        if not rule.holds(value):
            raise ValueError(f"{name} of {where} must be {rule.wanted}; got {value!r}")


def check_group(
    group: Mapping[str, Any], defaults: Mapping[str, Any], first: Mapping[str, Any], where: str
) -> None:
    """Raise if a parameter group has a setting that is unknown, out of range or not its own.

    Args:
        group: what the user wrote.
        defaults: the settings that the optimizer knows.
        first: the first group, whose settings all groups share.
        where: the group's name in messages.

    Raises:
        ValueError: names the setting and the place.
    """
    given = {name: value for name, value in group.items() if name not in GROUP_KEYS}
    for name in given:
        if name == "lr":
            raise ValueError(f"lr of {where}: the line search chooses it; set init_step instead")
        known = [*defaults, GROUP_SCALE]
        if name not in known:
            raise ValueError(f"{where} has the unknown setting {name!r}{_nearest(name, known)}")
    check(given, where)
    for name, value in given.items():
        if name not in PER_GROUP and value != first[name]:
            raise ValueError(
                f"{name} must be the same in all parameter groups: {where} has {value!r}, "
                f"the optimizer {first[name]!r}"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
