"""Advice about closures that a training framework makes, recognized by their package."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

MIXIN = """\
    from sls.integrations.lightning import LineSearchModule
    class Model(LineSearchModule, LightningModule):"""

BACKWARD_IN_TRIALS = f"""\
the closure runs backward() in every trial of the line search, and Lightning logs the loss of the \
last trial and updates metrics in each. Two lines mend that:

{MIXIN}"""

LAST_MICRO_BATCH = f"""\
With accumulate_grad_batches= Lightning's closure has the last micro-batch alone. Two lines give \
the step all of them:

{MIXIN}

In manual optimization, give the step all of them by \
step(closure=sls.accumulate(loss_of, micro_batches))."""

LIGHTNING = ("lightning", "pytorch_lightning")


def advice_on_backward(closure: Callable[..., Any]) -> str | None:
    """What to do about the closure's backward passes in trials; None: no framework made it."""
    return BACKWARD_IN_TRIALS if _package(closure) in LIGHTNING else None


def advice_on_gradients(closure: Callable[..., Any]) -> str | None:
    """What to do about gradients from before the step; None: no framework made the closure."""
    return LAST_MICRO_BATCH if _package(closure) in LIGHTNING else None


def _package(closure: Callable[..., Any]) -> str:
    function = closure.func if isinstance(closure, partial) else closure
    return str(getattr(function, "__module__", "")).partition(".")[0]
