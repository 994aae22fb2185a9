"""All optimizers, found in the files of this folder, and how one is built from its settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from experiments.errors import UserError
from experiments.optimizers.shared import OptimizerSettings, Scheduled
from experiments.settings import kinds_in

if TYPE_CHECKING:
    from torch.nn import Parameter

    from experiments.optimizers.shared import Built

OPTIMIZERS = kinds_in("experiments.optimizers", OptimizerSettings)


def build_optimizer(
    settings: OptimizerSettings,
    params: Iterable[Any],
    *,
    total_steps: int,
    steps_per_epoch: int,
) -> Built:
    """The optimizer over `params`, or groups of them, and its scheduler, as `settings.build`.

    Every refusal is a `UserError`.
    """
    params = list(params)
    if isinstance(settings, Scheduled):
        _require_representable(settings, params)
    try:
        return settings.build(params, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    except (ValueError, TypeError, OverflowError) as error:
        # A constructor's own message, which names its argument: begin with the setting's key.
        reason = " ".join(str(error).split())
        names = [word for word in re.findall(r"\w+", reason) if word in type(settings).model_fields]
        key = f"optimizer.{names[0]}" if names else "optimizer"
        raise UserError(f"{key}: {reason}") from error


def _require_representable(settings: Scheduled, params: list[Parameter]) -> None:
    """Refuse numbers that the parameters' type cannot hold: torch would stop with a traceback.

    The optimizers of `sls` check theirs themselves.
    """
    import torch

    for dtype in {param.dtype for param in params if param.dtype.is_floating_point}:
        limits = torch.finfo(dtype)
        smallest = limits.smallest_normal * limits.eps
        for key, value in settings:
            number = abs(value) if isinstance(value, int | float) else 0
            if 0 < number < smallest or number > limits.max:
                raise UserError(
                    f"optimizer.{key}: {value:g} is beyond {str(dtype).removeprefix('torch.')}, "
                    f"the type of the parameters, which holds {smallest:.2g} to {limits.max:.2g}"
                )
