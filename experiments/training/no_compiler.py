"""Training without `torch._dynamo`, the compiler, whose import doubles the start of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

# torch keeps the compiler out of these methods: each call goes through a wrapper that imports
# `torch._dynamo` and then calls what it finds under this name on the method itself.
_METHODS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
_KNOWN = "__dynamo_disable"


@contextmanager
def no_compiler() -> Iterator[None]:
    """Within, torch's optimizers do not import the compiler; nothing may be compiled.

    Where it has been imported already, or torch wraps its methods in another way, nothing changes.
    """
    found = [] if "torch._dynamo" in sys.modules else [getattr(Optimizer, m) for m in _METHODS]
    plain: list[Any] = [m.__wrapped__ for m in found if hasattr(m, "__wrapped__")]
    plain = [method for method in plain if not hasattr(method, _KNOWN)]
    for method in plain:
        setattr(method, _KNOWN, method)
    try:
        yield
    finally:
        for method in plain:
            delattr(method, _KNOWN)
