"""The state of a line search and that of the optimizers it is built around, as one.

    state[p]["base"]         what the base keeps of a parameter
    param_groups[i]["base"]  the base's settings, its class, and its number where there are several

Everything has its place in `state` and `param_groups`, the two parts that
`torch.distributed.checkpoint` saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim.optimizer import Optimizer

from sls.around import NAME

StateDict = dict[str, Any]


def joined(own: Mapping[str, Any], optimizers: Sequence[Optimizer]) -> StateDict:
    """A `state_dict` of the line search with those of its bases in it.

    Args:
        own: the line search's.
        optimizers: the bases; together they have the groups of the line search, in order.
    """
    states = {key: dict(state) for key, state in own["state"].items()}
    theirs: list[dict[str, Any]] = []
    first_key = 0
    for number, optimizer in enumerate(optimizers):
        saved = optimizer.state_dict()
        keys = {key for group in saved["param_groups"] for key in group["params"]}
        for key in keys & saved["state"].keys():
            states.setdefault(first_key + key, {})[NAME] = saved["state"][key]
        others = {key: state for key, state in saved["state"].items() if key not in keys}
        for group in saved["param_groups"]:
            part = {
                "class": type(optimizer).__name__,
                "number": number,
                "has_state": any(key in saved["state"] for key in group["params"]),
                "settings": {name: value for name, value in group.items() if name != "params"},
            }
            theirs.append({**part, "others": others} if others else part)
        first_key += len(keys)
    groups = [
        {**group, NAME: part} for group, part in zip(own["param_groups"], theirs, strict=True)
    ]
    return {**own, "state": states, "param_groups": groups}


def parted(saved: Mapping[str, Any], *, holds_nothing: bool) -> tuple[StateDict, list[StateDict]]:
    """The `state_dict` of the line search, and the class and the `state_dict` of each base.

    Args:
        saved: what `joined` returned.
        holds_nothing: whether the state of the parameters is that of before the first step, made
            for its names and shapes.

    Returns:
        The second part is empty where the line search was built around nothing.
    """
    bases: dict[int, StateDict] = {}
    for group in saved["param_groups"]:
        part = group.get(NAME)
        if part is None:
            continue
        base = bases.setdefault(
            part["number"],
            {"class": part["class"], "state_dict": {"state": {}, "param_groups": []}},
        )["state_dict"]
        base["param_groups"].append({**part["settings"], "params": group["params"]})
        base["state"].update(part.get("others", {}))
        for key in group["params"]:
            state = saved["state"].get(key, {}).get(NAME)
            # Some optimizers make their state with themselves.
            if state is not None and (part["has_state"] or not holds_nothing):
                base["state"][key] = state
    own = {
        **saved,
        "state": {} if holds_nothing else {key: _own(x) for key, x in saved["state"].items()},
        "param_groups": [_own(group) for group in saved["param_groups"]],
    }
    return own, [bases[number] for number in sorted(bases)]


def _own(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != NAME}
