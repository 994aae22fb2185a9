"""Saved states: whose a state is, which settings it changes, and entries that hold nothing.

The first parameter group names the optimizer, and says whether the state of the parameters holds
nothing but the names and shapes that it will have: `torch.distributed.checkpoint` makes such states
before the first step. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sls.settings import ADDED_LATER, GROUP_SCALE

OWNER = "optimizer"
"""The key, in the first group, of the class whose state it is."""

PLACEHOLDERS = "placeholders"
"""The key, in the first group, that says whether the state of the parameters holds nothing yet."""


def as_plain(state: Any) -> Any:
    """A dataclass as a dictionary, with the dataclasses and lists in it, however deep.

    What `dataclasses.asdict` gives for numbers and text, in a tenth of its time: it is called in
    every step.
    """
    fields = getattr(state, "__dataclass_fields__", None)
    if fields is not None:
        return {name: as_plain(getattr(state, name)) for name in fields}
    return type(state)(map(as_plain, state)) if isinstance(state, (list, tuple)) else state


def completed(groups: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[Any]:
    """The groups of a saved state, with what states of earlier versions lack."""
    added = {name: value for name, value in ADDED_LATER.items() if name in defaults}
    return [{**added, **group} for group in groups]


def require_own(
    saved: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], classes: Sequence[type]
) -> None:
    """Raise if a saved state is another optimizer's.

    Args:
        saved: its parameter groups.
        defaults: the settings of the optimizer that is to load it.
        classes: its class, and those that this derives from.

    Raises:
        ValueError: names both.
    """
    name, first = classes[0].__name__, saved[0] if saved else {}
    owner = first.get(OWNER)
    if owner is not None and owner not in {one.__name__ for one in classes}:
        raise ValueError(
            f"this state_dict is {owner}'s, not {name}'s; build the {owner} that saved it, and "
            "load it there"
        )
    wanted = {*defaults, "search_state"}
    lacking, unknown = sorted(wanted - set(first)), sorted(set(first) - wanted - _NO_SETTINGS)
    if lacking:
        has = f", and has {', '.join(unknown)}" if unknown else ""
        raise ValueError(
            "this state_dict is another optimizer's, "
            f"not {name}'s: it lacks {', '.join(lacking)}{has}"
        )


_NO_SETTINGS = {"params", "param_names", "name", "lr", "initial_lr", OWNER, PLACEHOLDERS, "base"}


def changed_settings(
    before: Iterable[Mapping[str, Any]],
    saved: Iterable[Mapping[str, Any]],
    defaults: Mapping[str, Any],
) -> list[str]:
    """The settings that a saved state changes, each as "c: 0.3 → 0.5"; those of a group name it."""
    changes: dict[str, list[int]] = {}
    for number, (own, other) in enumerate(zip(before, saved, strict=False)):
        for name in [*defaults, GROUP_SCALE]:
            old, new = _plain(own.get(name)), _plain(other.get(name))
            if old != new:
                changes.setdefault(f"{name}: {old!r} → {new!r}", []).append(number)
    return [_in_groups(change, numbers) for change, numbers in changes.items()]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_groups(change: str, numbers: Sequence[int]) -> str:
    if 0 in numbers:
        return change
    return f"{change} (parameter group {', '.join(map(str, numbers))})"


def without_empty(states: Mapping[Any, Any]) -> dict[Any, Any]:
    """The states of the parameters without empty dictionaries.

    torch's flat form of a state has them in place of entries that were not saved.
    """
    kept = {key: _without_empty(state) for key, state in states.items()}
    return {key: state for key, state in kept.items() if state != {}}


def _without_empty(state: Any) -> Any:
    return without_empty(state) if isinstance(state, Mapping) else state
