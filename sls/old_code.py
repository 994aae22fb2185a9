"""Code written for the earlier package: its calls of `step`, and its names.

The earlier package had two closures, `optimizer.step(closure=…, closure_with_backward=…)`; here
one is enough.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch.optim.optimizer import Optimizer

_names_warned_of: set[str] = set()


class OldNameWarning(UserWarning):
    """A name of the earlier package is used; given once for each name in a process.

    Examples:
        >>> import warnings
        >>> from sls.old_code import OldNameWarning
        >>> warnings.simplefilter("ignore", OldNameWarning)
    """


def warn_of_old_name(name: str, text: str) -> None:
    """Warn, once in a process, that `name` is the earlier package's."""
    if name not in _names_warned_of:
        _names_warned_of.add(name)
        warnings.warn(f"{name} {text}", OldNameWarning, stacklevel=3)


class TakesTwoClosures(Optimizer):
    """An optimizer whose `step` also takes the earlier package's `closure_with_backward`.

    It is a hook before the step, so that the step itself has one closure.
    """

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self._hook_closures()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # of an optimizer that is unpickled, copied or loaded
        self._hook_closures()

    def _hook_closures(self) -> None:
        if _join_closures not in self._optimizer_step_pre_hooks.values():
            self.register_step_pre_hook(_join_closures)


class _TwoClosures:
    """Two closures of one mini-batch as one with a keyword `backward`."""

    def __init__(self, closure: Callable[[], Any], closure_with_backward: Callable[[], Any]):
        self._closure = closure
        self._closure_with_backward = closure_with_backward

    def __call__(self, backward: bool) -> Any:
        return self._closure_with_backward() if backward else self._closure()


def _join_closures(
    _optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments of `step` with both closures as one, where there are two."""
    this, *closures = args
    given = dict(zip(("closure", "closure_with_backward"), closures, strict=False)) | kwargs
    if "closure_with_backward" not in given:
        return None
    closure, with_backward = given.get("closure"), given.pop("closure_with_backward")
    if with_backward is not None:
        one = with_backward if closure is None else _TwoClosures(closure, with_backward)
        given["closure"] = one
    return (this,), given
