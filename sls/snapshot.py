"""A snapshot of a torch optimizer's state, and the way back to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim.optimizer import Optimizer

from sls.arithmetic import Tensors, copies_of, copy_all, local


class Snapshot:
    """The state and the parameter groups of optimizers, as they are now; not the parameters.

    Tensors are copied; dictionaries and lists are remembered with what they hold, however deep.
    Anything else counts as a plain value.

    Args:
        optimizers: their `state` and `param_groups` are remembered.
    """

    def __init__(self, optimizers: Iterable[Optimizer]):
        self._tensors: Tensors = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []
        for optimizer in optimizers:
            self._visit_dict(optimizer.state, optimizer.state)
            for group in optimizer.param_groups:
                settings = {name: value for name, value in group.items() if name != "params"}
                self._visit_dict(group, settings)
        self._copies = copies_of(self._tensors)

    def restore(self) -> None:
        """Put everything back, to the bit and into the same objects."""
        copy_all(self._tensors, self._copies)
        for mapping, items in self._dicts:
            mapping.clear()
            mapping.update(items)
        for sequence, elements in self._lists:
            sequence[:] = elements

    def _visit(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self._tensors.append(local(value))
        elif isinstance(value, dict):
            self._visit_dict(value, value)
        elif isinstance(value, list):
            self._lists.append((value, list(value)))
            for element in value:
                self._visit(element)
        elif isinstance(value, tuple):
            for element in value:
                self._visit(element)

    def _visit_dict(self, mapping: dict[Any, Any], inner: Mapping[Any, Any]) -> None:
        """Remember `mapping`, and what `inner`, its part that a step may change, holds."""
        self._dicts.append((mapping, dict(mapping)))
        for value in inner.values():
            self._visit(value)
