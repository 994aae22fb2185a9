"""Adam's moments: the direction that they give, and how a step moves them.

    m ← β₁·m + (1−β₁)·g,   v ← β₂·v + (1−β₂)·g²,   d = m̂/(√v̂ + ε)
    m̂ = m/(1−β₁ᵗ),   v̂ = v/(1−β₂ᵗ)

Where torch has Adam as one kernel, for plain tensors of one type on one device, it goes over the
tensors once; elsewhere the same numbers, to rounding, come from the operations of `arithmetic`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from sls.arithmetic import FOREACH, Tensors
from sls.parameters import GroupTensors

FUSED_ON = frozenset({"cpu", "cuda"})
"""Devices whose fused kernel is used."""


def direction(group: GroupTensors) -> Tensors:
    """d, with the moments as they will be after the step; they are not written."""
    if _has_kernel(group):
        first = group.arithmetic.clone(group.state_tensors("exp_avg"))
        d, second = _direction_by_kernel(group, first, group.settings["betas"][0])
        group.after_step = {"exp_avg": first, "exp_avg_sq": second}
        return d
    beta1, _ = group.settings["betas"]
    d = group.arithmetic.lerp(group.state_tensors("exp_avg"), group.grads, 1 - beta1)
    group.arithmetic.div_(d, _denominators(group))
    group.arithmetic.div_by_(d, [1 - beta1**t for t in steps_after(group)])
    return d


def direction_without_momentum(group: GroupTensors) -> Tensors:
    """`g/(√v̂ + ε)`, with v as it will be after the step; it is not written."""
    if _has_kernel(group):
        d, _ = _direction_by_kernel(group, group.arithmetic.zeros_like(group.grads), 0.0)
        return d
    return group.arithmetic.div(group.grads, _denominators(group))


def _denominators(group: GroupTensors) -> Tensors:
    """`√v̂ + ε`, with v as after the step."""
    arithmetic = group.arithmetic
    _, beta2 = group.settings["betas"]
    second = arithmetic.mul(group.state_tensors("exp_avg_sq"), beta2)
    arithmetic.addcmul_(second, group.grads, group.grads, 1 - beta2)
    arithmetic.sqrt_(second)
    _finish_denominators(group, second, steps_after(group))
    return second


def commit(group: GroupTensors) -> None:
    """Write m, v and t as they are after the step."""
    for part in group.pieces() if group.is_large else [group]:
        _write(part)
    _keep(group)


def step(group: GroupTensors, step_size: float, decay: float) -> None:
    """Write m, v and t, and go to `w − η·d − decay·w`, with no copy and no way back."""
    if not _has_kernel(group):
        commit(group)
        group.step(_direction_of_kept(group), step_size, decay)
        return
    if decay != 0:
        group.arithmetic.mul_(group.params, 1 - decay)
    first, second = group.state_tensors("exp_avg"), group.state_tensors("exp_avg_sq")
    _run_kernel(group, group.params, first, second, step_size, group.settings["betas"][0])
    _keep(group)


def _direction_of_kept(group: GroupTensors) -> Tensors:
    """d, of the moments that were written."""
    arithmetic = group.arithmetic
    beta1, _ = group.settings["betas"]
    steps = [state["step"] for state in group.states]
    roots = arithmetic.sqrt(group.state_tensors("exp_avg_sq"))
    _finish_denominators(group, roots, steps)
    d = arithmetic.div(group.state_tensors("exp_avg"), roots)
    arithmetic.div_by_(d, [1 - beta1**t for t in steps])
    return d


def steps_after(group: GroupTensors) -> Sequence[int]:
    """The count t of each parameter as it is after the step."""
    return [state.get("step", 0) + 1 for state in group.states]


def _write(group: GroupTensors) -> None:
    arithmetic = group.arithmetic
    if group.after_step:
        for name, values in group.after_step.items():
            arithmetic.copy_(group.state_tensors(name), values)
        return
    beta1, beta2 = group.settings["betas"]
    arithmetic.lerp_(group.state_tensors("exp_avg"), group.grads, 1 - beta1)
    second = group.state_tensors("exp_avg_sq")
    arithmetic.mul_(second, beta2)
    arithmetic.addcmul_(second, group.grads, group.grads, 1 - beta2)


def _keep(group: GroupTensors) -> None:
    steps = steps_after(group)
    group.keep_state()
    for state, t in zip(group.states, steps, strict=True):
        state["step"] = t


def _finish_denominators(group: GroupTensors, roots: Tensors, steps: Sequence[int]) -> None:
    """From `√v` to `√v̂ + ε`."""
    _, beta2 = group.settings["betas"]
    group.arithmetic.div_by_(roots, [math.sqrt(1 - beta2**t) for t in steps])
    group.arithmetic.add_number_(roots, _eps(group))


def _eps(group: GroupTensors) -> float:
    """ε, no smaller than the root of the type's least normal number.

    Where a gradient is 0, or its square rounds to 0, `0/0` would else be NaN: with ε = 0, or
    with ε = 1e-8 in float16, which has no such number.
    """
    dtypes = {param.dtype for param in group.params}
    least = max((math.sqrt(torch.finfo(dtype).tiny) for dtype in dtypes), default=0.0)
    return max(float(group.settings["eps"]), least)


# ------------------------------------------------------------------------------ the fused kernel


def _has_kernel(group: GroupTensors) -> bool:
    """Whether torch's kernel takes this group, and the user left the choice to us."""
    if group.settings["foreach"] is not None or group.arithmetic is not FOREACH:
        return False
    kinds = {(x.device, x.dtype) for x in (*group.params, *group.grads)}
    return len(kinds) == 1 and next(iter(kinds))[0].type in FUSED_ON


def _direction_by_kernel(
    group: GroupTensors, first: Tensors, beta1: float
) -> tuple[Tensors, Tensors]:
    """A step of −1 from 0, with a copy of v, which is returned too; m is written to."""
    directions = group.arithmetic.zeros_like(group.grads)
    second = group.arithmetic.clone(group.state_tensors("exp_avg_sq"))
    _run_kernel(group, directions, first, second, -1.0, beta1)
    return directions, second


def _run_kernel(
    group: GroupTensors,
    points: Tensors,
    first: Tensors,
    second: Tensors,
    step_size: float,
    beta1: float,
) -> None:
    """Move m, v and the points: `x ← x − η·d`."""
    _, beta2 = group.settings["betas"]
    device = points[0].device
    steps = steps_after(group)
    counts = {t: torch.full((), t, dtype=torch.float32, device=device) for t in set(steps)}
    torch._fused_adam_(
        points,
        group.grads,
        first,
        second,
        [],
        [counts[t] for t in steps],
        lr=step_size,
        beta1=beta1,
        beta2=beta2,
        weight_decay=0.0,
        eps=_eps(group),
        amsgrad=False,
        maximize=False,
    )
