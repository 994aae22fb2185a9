"""The modules that a closure calls, also in code that `torch.compile` has compiled.

Modules are found as they are called, by a global forward pre-hook. Compiled code must not see that
hook: torch would trace it and compile again, or not run it at all. So the first evaluation of a
closure runs uncompiled, with the hook. If it called modules in compiled code, those are remembered,
and the next evaluations run compiled, without a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from sls.compiled import compiled_calls, is_compiled, uncompiled

See = Callable[[nn.Module], list[nn.Module]]


class Calls:
    """The modules that one closure calls, as far as its evaluations have shown."""

    def __init__(self) -> None:
        self._compiled: bool | None = None  # None: not known
        self._ran_uncompiled = self._just_looked = False
        self._roots: WeakSet[nn.Module] = WeakSet()
        self._count = 0
        self._trained: set[int] = set()

    @contextmanager
    def watched(self, see: See) -> Iterator[None]:
        """Evaluate the closure in this context; see `settled`.

        Args:
            see: takes a module that is called, before it runs; returns those of its submodules,
                itself included, that it sees for the first time.
        """
        known = [module for root in list(self._roots) for module in see(root)]
        if not self._just_looked and self._is_out_of_date(known):
            self._compiled = None
        self._ran_uncompiled = self._compiled is None
        if self._compiled:
            yield
        elif self._compiled is None:
            with self._watched_uncompiled(see):
                yield
        else:
            with each_call(lambda module: self._note(module, see)):
                yield
        self._count = self._count_roots()

    @property
    def modules(self) -> Iterator[nn.Module]:
        """The modules that it is known to call, and their submodules."""
        return (module for root in list(self._roots) for module in root.modules())

    def settled(self, params: Iterable[Tensor]) -> bool:
        """Whether the last evaluation is the closure's, its modules all known; else repeat it.

        The first one is not where it ran uncompiled what is compiled. Neither is one whose
        gradients reach other parameters than before: compiled code may have called other modules.

        Args:
            params: the optimizer's parameters, with the gradients of that evaluation.
        """
        just_looked, self._just_looked = self._just_looked, False
        if self._compiled and self._ran_uncompiled:
            self._trained |= _with_gradient(params)
            self._just_looked = True
            return False
        if not self._compiled or just_looked or _with_gradient(params) <= self._trained:
            return True
        self._compiled = None
        return False

    def _is_out_of_date(self, known: list[nn.Module]) -> bool:
        if self._compiled:  # a module that is gone may have left its place to another
            return self._count_roots() < self._count
        return any(is_compiled(module) for module in known)

    def _count_roots(self) -> int:
        """The number of modules with parameters; others may live for one call, as losses do."""
        return sum(any(True for _ in root.parameters()) for root in self._roots)

    @contextmanager
    def _watched_uncompiled(self, see: See) -> Iterator[None]:
        outside = compiled_calls()
        compiled = False

        def note(module: nn.Module) -> None:
            nonlocal compiled
            compiled = compiled or is_compiled(module) or compiled_calls() > outside
            self._note(module, see)

        with uncompiled(), each_call(note):
            yield
        self._compiled = compiled

    def _note(self, module: nn.Module, see: See) -> None:
        if see(module):
            self._roots.add(module)


def _with_gradient(params: Iterable[Tensor]) -> set[int]:
    return {id(param) for param in params if param.grad is not None}


@contextmanager
def each_call(note: Callable[[nn.Module], None]) -> Iterator[None]:
    """Within, `note` is called with every module that is called, before it runs.

    Code that `torch.compile` is compiling does not see it.
    """

    def before_forward(module: nn.Module, inputs: Any) -> None:
        if not torch.compiler.is_compiling():
            note(module)

    handle = register_module_forward_pre_hook(before_forward)
    try:
        yield
    finally:
        handle.remove()
