"""Advice about closures that a training framework makes, recognized by their package."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

LIGHTNING = """\
the closure runs backward() in every trial of the line search, and Lightning logs the loss of the \
last trial and updates metrics in each. Two lines mend that:

    from sls.integrations.lightning import LineSearchModule
    class Model(LineSearchModule, LightningModule):"""

ADVICE = {"lightning": LIGHTNING, "pytorch_lightning": LIGHTNING}


def framework_advice(closure: Callable[..., Any]) -> str | None:
    """What to do about the closure's backward passes in trials; None: no framework made it."""
    function = closure.func if isinstance(closure, partial) else closure
    package = str(getattr(function, "__module__", "")).partition(".")[0]
    return ADVICE.get(package)
