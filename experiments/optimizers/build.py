"""A spec from the config becomes an optimizer and, where it has one, a scheduler."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, assert_never

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

import sls
from experiments.config import schema
from experiments.errors import UserError
from experiments.optimizers.peers.build import build_peer, build_schedule_free
from sls.settings import SharedSettings


@dataclass(frozen=True)
class WarmupConstant:
    """The rate's factor at step k = 0, 1, …: (k+1)/(w+1) up to step w, 1 from there on."""

    warmup_steps: int

    def __call__(self, step: int) -> float:
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


@dataclass(frozen=True)
class WarmupCosine:
    """The rate's factor at step k = 0, 1, …: rises as (k+1)/(w+1) to 1 at step w, then falls as
    ½(1 + cos(π (k-w)/(n-w))), which is zero after the last step, k = n.
    """

    warmup_steps: int
    total_steps: int

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        share = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def build_optimizer(
    spec: schema.Optimizer,
    params: Iterable[torch.nn.Parameter],
    *,
    total_steps: int,
    steps_per_epoch: int,
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimizer of `spec` over `params`, and the scheduler to step after it, if any.

    Raises:
        UserError: if the optimizer cannot take a setting of the spec, or is not installed.
    """
    params = list(params)
    _require_representable(spec, params)
    with _settings_named(spec):
        return _build(spec, params, total_steps, steps_per_epoch)


def _require_representable(spec: schema.Optimizer, params: Sequence[torch.nn.Parameter]) -> None:
    """Raise UserError for a number that the parameters' type cannot hold: steps are taken in it."""
    dtypes = {param.dtype for param in params if param.dtype.is_floating_point}
    for name, value in spec.model_dump().items():
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float):
                for dtype in dtypes:
                    _require_held(f"optimizer.{name}", float(number), dtype)


def _require_held(key: str, number: float, dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    smallest = limits.smallest_normal * limits.eps
    if 0 < abs(number) < smallest or abs(number) > limits.max:
        raise UserError(
            f"{key}: {number:g} is beyond {str(dtype).removeprefix('torch.')}, the type of the "
            f"parameters, which holds {smallest:.2g} to {limits.max:.2g}"
        )


@contextmanager
def _settings_named(spec: schema.Optimizer) -> Iterator[None]:
    """Turns what a constructor refuses into a line that begins with the setting's key."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        named = [word for word in re.findall(r"\w+", reason) if word in type(spec).model_fields]
        key = f"optimizer.{named[0]}" if named else "optimizer"
        raise UserError(f"{key}: {reason}") from error


def _build(
    spec: schema.Optimizer,
    params: Sequence[torch.nn.Parameter],
    total_steps: int,
    steps_per_epoch: int,
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    match spec:
        case schema.Adam() | schema.AdamW() | schema.SGD() | schema.NAdamW():
            optimizer = _torch_optimizer(spec, params)
            return optimizer, _scheduler(spec, optimizer, total_steps)
        case schema.Prodigy() | schema.DAdaptAdam() | schema.MomoAdam():
            optimizer = build_peer(spec, params)
            return optimizer, _scheduler(spec, optimizer, total_steps)
        case schema.ScheduleFreeAdamW():
            warmup_steps = _warmup_steps(spec, total_steps)
            return build_schedule_free(spec, params, warmup_steps=warmup_steps), None
        case schema.SLS() | schema.AdamSLS() | schema.ALSALS() | schema.SaLSA():
            return _line_search(spec, params, total_steps, steps_per_epoch), None
        case schema.PeakSLS():
            return _peak_sls(spec, params, total_steps), None
        case _:
            assert_never(spec)


def _torch_optimizer(
    spec: schema.Adam | schema.AdamW | schema.SGD | schema.NAdamW,
    params: Iterable[torch.nn.Parameter],
) -> torch.optim.Optimizer:
    match spec:
        case schema.Adam():
            return torch.optim.Adam(
                params, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay
            )
        case schema.AdamW():
            return torch.optim.AdamW(
                params, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay
            )
        case schema.SGD():
            return torch.optim.SGD(
                params, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
            )
        case schema.NAdamW():
            return torch.optim.NAdam(
                params,
                lr=spec.lr,
                betas=spec.betas,
                eps=spec.eps,
                weight_decay=spec.weight_decay,
                # torch's momentum rises, μₜ = β₁(1 - ½·0.96^(t·decay)); this makes it β₁ at once.
                momentum_decay=math.inf,
                decoupled_weight_decay=True,
            )


def _scheduler(
    spec: schema.Scheduled, optimizer: torch.optim.Optimizer, total_steps: int
) -> LRScheduler | None:
    warmup_steps = _warmup_steps(spec, total_steps)
    if spec.schedule == "cosine":
        return LambdaLR(optimizer, WarmupCosine(warmup_steps, total_steps))
    if warmup_steps == 0:
        return None
    return LambdaLR(optimizer, WarmupConstant(warmup_steps))


def _warmup_steps(spec: schema.Scheduled, total_steps: int) -> int:
    return min(math.floor(spec.warmup * total_steps), total_steps - 1)


def _line_search(
    spec: schema.SLS | schema.AdamSLS | schema.ALSALS | schema.SaLSA,
    params: Iterable[torch.nn.Parameter],
    total_steps: int,
    steps_per_epoch: int,
) -> torch.optim.Optimizer:
    settings = spec.model_dump(exclude={"kind", "preset", "anneal"}, exclude_none=True)
    if spec.anneal is not None:
        settings |= {"total_steps": total_steps, "anneal": spec.anneal}
    line_search = _line_search_class(spec)
    make = line_search if spec.preset == "default" else line_search.paper
    known = _settings_of(make)
    for name in settings.keys() - known:
        # A preset fixes what it does not take; leaving the setting out in silence would be worse.
        key = "anneal" if name == "total_steps" else name
        raise UserError(
            f"optimizer.{key}: {type(spec).__name__} with preset '{spec.preset}' "
            f"does not take it; leave it null"
        )
    if "n_batches_per_epoch" in known:
        settings["n_batches_per_epoch"] = steps_per_epoch
    optimizer: torch.optim.Optimizer = make(params, **settings)
    return optimizer


def _peak_sls(
    spec: schema.PeakSLS, params: Iterable[torch.nn.Parameter], total_steps: int
) -> sls.PeakSLS:
    settings = spec.model_dump(exclude={"kind", "length_known"}, exclude_none=True)
    if spec.length_known:
        settings["total_steps"] = total_steps
    elif spec.anneal is not None:
        raise UserError("optimizer.anneal: needs length_known: true; leave it null")
    return sls.PeakSLS(params, **settings)


def _settings_of(make: Callable[..., Any]) -> set[str]:
    """The names of the settings that a line search, or a preset of it, takes."""
    parameters = inspect.signature(make).parameters
    takes_shared = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return set(parameters) | (set(SharedSettings.__annotations__) if takes_shared else set())


def _line_search_class(spec: schema.LineSearch) -> Any:
    match spec:
        case schema.SLS():
            return sls.SLS
        case schema.AdamSLS():
            return sls.AdamSLS
        case schema.ALSALS():
            return sls.ALSALS
        case schema.SaLSA():
            return sls.SaLSA
        case _:
            raise TypeError(f"no line search for {type(spec).__name__}")
