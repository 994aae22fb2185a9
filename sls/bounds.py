"""The largest and the least step that the parameters' type can hold.

The bounds of a step are read only if it is extreme, since each costs a synchronisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sls.arithmetic import Tensors, read
from sls.path import Path
from sls.ranks import ALONE, Alone

SMALL, LARGE = 1e-6, 1e4
"""Between these no bound is read."""

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


class StepBounds:
    """The bounds of a step along these directions; each is read once, when it is first needed.

    Args:
        paths: the parameters, where the step starts, and d.
        ranks: the processes that hold the parameters together.
    """

    def __init__(self, paths: Sequence[Path], ranks: Alone = ALONE):
        self._paths = paths
        self._ranks = ranks

    def within(self, step_size: float) -> float:
        """η where it is neither `SMALL` nor `LARGE`, else within `least` and `largest`."""
        return max(step_size, self.least) if step_size < SMALL else self.at_most(step_size)

    def at_most(self, step_size: float) -> float:
        """η, where it is `LARGE` no more than `largest`."""
        return min(step_size, self.largest) if step_size > LARGE else step_size

    def too_small(self, step_size: float) -> bool:
        """Whether η, where it is `SMALL`, is below `least`."""
        return step_size < SMALL and step_size < self.least

    @cached_property
    def largest(self) -> float:
        """The largest η with `η` and `η·‖d‖_∞` within a quarter of the greatest finite number."""
        largest = min((torch.finfo(param.dtype).max for param in self._params), default=LARGE)
        return largest / 4 / max(1.0, self._norm(self._directions(), math.inf))

    @cached_property
    def least(self) -> float:
        """The least η that moves the parameters beyond rounding: `ε·‖w‖/‖d‖`; 0 where d is 0."""
        length = self._norm(self._directions(), 2)
        if length == 0:
            return 0.0
        params = self._params
        infos = [torch.finfo(param.dtype) for param in params]
        eps, tiny = max(info.eps for info in infos), max(info.tiny for info in infos)
        return max(eps * self._norm(params, 2), tiny) / length

    @property
    def _params(self) -> Tensors:
        return [param for path in self._paths for param in path.group.params]

    def _directions(self) -> Iterator[Tensor]:
        return (tensor for path in self._paths for _, d in path.parts() for tensor in d)

    def _norm(self, tensors: Iterable[Tensor], order: float) -> float:
        """The 2-norm or the largest absolute value of all entries."""
        here = torch.tensor(_norm(tensors, order), dtype=torch.float64)
        combine = self._ranks.largest if order == math.inf else self._ranks.norm
        return float(combine(here))


def _norm(tensors: Iterable[Tensor], order: float) -> float:
    """The 2-norm or the largest absolute value of all entries in this process."""
    norms = [
        torch.linalg.vector_norm(x, order, dtype=torch.promote_types(x.dtype, torch.float32))
        for x in tensors
        if x.numel()
    ]
    if not norms:
        return 0.0
    numbers = read(*norms)
    return max(numbers) if order == math.inf else math.hypot(*numbers)
