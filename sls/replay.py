"""Replay of random numbers and buffers, so that all evaluations of a mini-batch see the same.

A forward pass draws random numbers (dropout) and moves buffers (BatchNorm's running statistics).
`Replay` starts every trial from the state before the first evaluation, and afterwards restores the
state after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sls.arithmetic import copies_of, copy_all, overlaps
from sls.calls import Calls
from sls.devices import on_host
from sls.random_numbers import RandomState, random_state, set_random_state


class Replay:
    """The state of random generators and buffers around the evaluations of one step.

    Generators: the CPU's and that of every device given. Buffers: those of every `nn.Module`
    called in the first evaluation, and of their submodules, found by `sls.calls`, so that the user
    need not name them. Python's and NumPy's generators, buffers of modules that are never called as
    modules, and plain attributes are left alone.

    Args:
        devices: where the parameters are.
    """

    def __init__(self, devices: Iterable[torch.device]):
        self._devices = set(devices)
        self._random_before: RandomState = {}
        self._random_after: RandomState | None = None  # None: only one evaluation so far
        self._buffers = _Buffers()

    @contextmanager
    def first_evaluation(
        self, calls: Calls | None = None, see: Callable[[nn.Module], None] | None = None
    ) -> Iterator[None]:
        """Run the first evaluation in this context: remembers the states before and after.

        Args:
            calls: the modules that the closure calls. None: nothing is known of them, and compiled
                code runs uncompiled in this context.
            see: called with each of these modules, and of their submodules, before it runs.
        """
        self._random_before, self._random_after = random_state(self._devices), None
        with self._buffers.watched(Calls() if calls is None else calls, see):
            yield

    def must_repeat(self, calls: Calls, params: Iterable[Tensor]) -> bool:
        """Whether the first evaluation has to be repeated; if so, goes back to the state before it.

        It was then made to find the modules in compiled code.

        Args:
            calls: those given to `first_evaluation`.
            params: the optimizer's parameters, with their gradients.
        """
        if calls.settled(params):
            return False
        self.rewind()
        return True

    def rewind(self) -> None:
        """Go back to the state before the first evaluation; call before each later one."""
        if self._random_after is None:
            self._random_after = random_state(self._devices)
            self._buffers.remember_changes()
        set_random_state(self._random_before)
        self._buffers.rewind()

    def finish(self) -> None:
        """Go to the state that the first evaluation left; call after the last one."""
        if self._random_after is not None:
            set_random_state(self._random_after)
            self._buffers.finish()


class NoReplay:
    """The replay of a step that evaluates once: it does nothing."""

    @contextmanager
    def first_evaluation(
        self, calls: Calls | None = None, see: Callable[[nn.Module], None] | None = None
    ) -> Iterator[None]:
        """Run the only evaluation in this context; modules are not watched."""
        yield

    def must_repeat(self, calls: Calls, params: Iterable[Tensor]) -> bool:
        """Whether the evaluation has to be repeated: never."""
        return False

    def rewind(self) -> None:
        """Refuse a second evaluation.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a step that should evaluate its closure once evaluates it again")

    def finish(self) -> None:
        """Do nothing: nothing has to be undone."""


@dataclass(slots=True)
class _Buffer:
    """One buffer: its owner, its value before the first evaluation and, if changed, after it."""

    owner: dict[str, Any]
    name: str
    tensor: Tensor | None
    before: Tensor | None
    tensor_after: Tensor | None = None
    after: Tensor | None = None

    def has_changed(self) -> bool:
        """Look what the first evaluation left, but its value; False if it surely did not change."""
        # The buffers of a scripted module have no `get`.
        self.tensor_after = self.owner[self.name] if self.name in self.owner else None  # noqa: SIM401
        return not (
            self.tensor_after is self.tensor and _surely_equal(self.tensor_after, self.before)
        )


class _Buffers:
    """The buffers of all modules that are called while watched."""

    def __init__(self) -> None:
        self._seen: set[nn.Module] = set()
        self._buffers: list[_Buffer] = []
        self._also: Callable[[nn.Module], None] | None = None

    @contextmanager
    def watched(self, calls: Calls, see: Callable[[nn.Module], None] | None) -> Iterator[None]:
        self._buffers = []
        self._also = see
        with calls.watched(self._see):
            yield
        self._seen.clear()

    def remember_changes(self) -> None:
        """Remember what the first evaluation has left; buffers that it left alone are forgotten."""
        self._buffers = [buffer for buffer in self._buffers if buffer.has_changed()]
        values = _values([buffer.tensor_after for buffer in self._buffers])
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer.after = value

    def _see(self, module: nn.Module) -> list[nn.Module]:
        """Remember the buffers of a module and its submodules; those that were not seen before."""
        if module in self._seen:
            return []
        new = [submodule for submodule in module.modules() if submodule not in self._seen]
        self._seen.update(new)
        self._remember(new)
        if self._also is not None:
            for submodule in new:
                self._also(submodule)
        return new

    def _remember(self, modules: Sequence[nn.Module]) -> None:
        found = [
            (module._buffers, name, tensor)
            for module in modules
            for name, tensor in module._buffers.items()
            # torch's kernels refuse to write into an expanded buffer
            if tensor is None or not overlaps(tensor)
        ]
        values = _values([tensor for _, _, tensor in found])
        for (owner, name, tensor), before in zip(found, values, strict=True):
            self._buffers.append(_Buffer(owner, name, tensor, before))

    def rewind(self) -> None:
        _write([(buffer.tensor, buffer.before) for buffer in self._buffers])
        for buffer in self._buffers:
            buffer.owner[buffer.name] = buffer.tensor

    def finish(self) -> None:
        _write([(buffer.tensor_after, buffer.after) for buffer in self._buffers])
        for buffer in self._buffers:
            buffer.owner[buffer.name] = buffer.tensor_after


@torch.no_grad()
def _values(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Copies, in few launches; None stays."""
    copies = iter(copies_of([tensor.detach() for tensor in tensors if tensor is not None]))
    return [None if tensor is None else next(copies) for tensor in tensors]


@torch.no_grad()
def _write(pairs: Sequence[tuple[Tensor | None, Tensor | None]]) -> None:
    """Copy the second of each pair into the first, in few launches; None is left out."""
    there = [(target, source) for target, source in pairs if target is not None]
    copy_all([t for t, _ in there], [s for _, s in there if s is not None])


def _surely_equal(now: Tensor | None, before: Tensor | None) -> bool:
    """Whether a buffer surely has the value it had; False where that needs waiting for a device.

    The values are compared because torch's count of in-place changes (`_version`) misses what
    BatchNorm's kernels and writes through `.data` do.
    """
    if now is None or before is None:
        return now is before
    return on_host(now.device) and torch.equal(now, before)
