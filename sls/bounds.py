"""The largest and the least step that the parameters' type can tell.

Those of a step are read only where it is extreme, since each costs a synchronisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from sls.arithmetic import Tensors
from sls.parameters import GroupTensors
from sls.reading import read

SMALL, LARGE = 1e-6, 1e4
"""Between these a step is not looked at."""


OF_THE_TYPE = frozenset({"init_step", "min_step", "eps", "weight_decay", "growth"})
"""Settings that the parameters' type must be able to hold."""


def check_type(settings: Mapping[str, Any], dtypes: Iterable[torch.dtype], where: str) -> None:
    """Raise if a setting is larger than the parameters' type can hold, or rounds to 0 in it.

    Raises:
        ValueError: names the setting, the place, the type and its bounds.
    """
    for dtype in set(dtypes):
        if not (dtype.is_floating_point or dtype.is_complex):
            continue
        info = torch.finfo(dtype)
        for name in OF_THE_TYPE & settings.keys():
            if settings[name] > info.max:
                raise ValueError(
                    f"{name} of {where} is {settings[name]!r}, but its parameters are {dtype}, "
                    f"which holds at most {info.max:.4g}"
                )
        if 0 < settings.get("init_step", 1.0) < info.smallest_normal:
            raise ValueError(
                f"init_step of {where} is {settings['init_step']!r}, but its parameters are "
                f"{dtype}, whose least normal number is {info.smallest_normal:.4g}"
            )


def bounded(
    step_size: float, groups: Sequence[GroupTensors], directions: Sequence[Tensors]
) -> float:
    """η where it is neither `SMALL` nor `LARGE`, else within `least_step` and `largest_step`."""
    if step_size < SMALL:
        return max(step_size, least_step(groups, directions))
    if step_size > LARGE:
        return min(step_size, largest_step(groups, directions))
    return step_size


def largest_step(groups: Sequence[GroupTensors], directions: Sequence[Tensors]) -> float:
    """The largest η with `η` and `η·‖d‖_∞` within a quarter of the greatest finite number."""
    largest = min((torch.finfo(param.dtype).max for param in _params(groups)), default=LARGE)
    return largest / 4 / max(1.0, _norm(_flat(directions), math.inf))


def least_step(groups: Sequence[GroupTensors], directions: Sequence[Tensors]) -> float:
    """The least η that moves the parameters beyond rounding: `ε·‖w‖/‖d‖`; 0 where d is 0."""
    length = _norm(_flat(directions), 2)
    if length == 0:
        return 0.0
    params = _params(groups)
    infos = [torch.finfo(param.dtype) for param in params]
    eps, tiny = max(info.eps for info in infos), max(info.tiny for info in infos)
    return max(eps * _norm(params, 2), tiny) / length


def _params(groups: Sequence[GroupTensors]) -> Tensors:
    return [param for group in groups for param in group.params]


def _flat(directions: Iterable[Tensors]) -> Tensors:
    return [tensor for direction in directions for tensor in direction]


def _norm(tensors: Tensors, order: float) -> float:
    """The 2-norm or the largest absolute value of all entries."""
    if not tensors:
        return 0.0
    norms = read(
        *(
            torch.linalg.vector_norm(x, order, dtype=torch.promote_types(x.dtype, torch.float32))
            for x in tensors
        )
    )
    return max(norms) if order == math.inf else math.hypot(*norms)
