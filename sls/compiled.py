"""Code that `torch.compile` has compiled: telling it, and running without the compiler."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

P = ParamSpec("P")
R = TypeVar("R")

NEVER_COMPILED = (
    "a line search decides in Python; compile the model or the loss function instead of the step"
)
"""The reason that torch gives where `fullgraph=True` meets a step."""


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is one that `torch.compile` returned, or was compiled by its `compile`."""
    return module._compiled_call_impl is not None or "_orig_mod" in module._modules


def compiled_calls() -> int:
    """The number of calls of compiled functions and modules that this call is within.

    Found on Python's stack, so that there are some only where they run uncompiled.
    """
    if not _compiler_imported():
        return 0
    wrappers = _wrappers()
    count = 0
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        count += id(frame.f_code) in wrappers
        frame = frame.f_back
    return count


@cache
def _wrappers() -> frozenset[int]:
    """The ids of the code of what `torch.compile` puts around a function or a module's call.

    `torch.compile(lambda: None).__code__` is the same, but the first call of `torch.compile` in a
    process takes seconds.
    """
    from torch._dynamo.eval_frame import _TorchDynamoContext

    constants = _TorchDynamoContext.__call__.__code__.co_consts
    return frozenset(id(constant) for constant in constants if isinstance(constant, CodeType))


def _compiler_imported() -> bool:
    """Whether anything can have been compiled: importing the compiler takes as long as torch."""
    return "torch._dynamo" in sys.modules


class _Uncompiled:
    """The context `uncompiled`; what it sets is the process', so threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._settings = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._set()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._settings.close()

    def _set(self) -> None:
        self._settings.enter_context(warnings.catch_warnings())
        # Compiled modules warn of hooks that they would see; uncompiled, they see all.
        warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
        if _compiler_imported():
            self._settings.enter_context(torch.compiler.set_stance("force_eager"))


uncompiled = _Uncompiled()
"""A context in which compiled functions and modules run as they were before `torch.compile`."""


def never_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs uncompiled, also where compiled code calls it."""
    disabled: list[Callable[P, R]] = []  # made in the first call, since it imports the compiler

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _compiler_imported():
            return function(*args, **kwargs)
        if not disabled:
            disable: Any = torch.compiler.disable
            disabled.append(disable(function, reason=NEVER_COMPILED))
        return disabled[0](*args, **kwargs)

    return run
