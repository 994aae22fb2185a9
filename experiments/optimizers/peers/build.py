"""A spec of a peer becomes its optimizer. The peer's package is imported then, and not before."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, assert_never

import torch

from experiments.config import schema
from experiments.errors import UserError


def build_peer(
    spec: schema.Prodigy | schema.DAdaptAdam | schema.MomoAdam,
    params: Iterable[torch.nn.Parameter],
) -> torch.optim.Optimizer:
    """The optimizer of `spec` over `params`; its schedule is the caller's.

    Raises:
        UserError: if its package is not installed.
    """
    match spec:
        case schema.Prodigy():
            with _needed(spec, "prodigyopt"):
                from experiments.optimizers.peers.prodigy import Prodigy as Peer
        case schema.DAdaptAdam():
            with _needed(spec, "dadaptation"):
                from experiments.optimizers.peers.dadapt_adam import DAdaptAdam as Peer
        case schema.MomoAdam():
            with _needed(spec, "momo-opt", module="momo"):
                from experiments.optimizers.peers.momo_adam import MomoAdam as Peer
        case _:
            assert_never(spec)
    # Two of them print that weight decay is decoupled; a run's output is the loggers'.
    with redirect_stdout(io.StringIO()):
        return Peer(params, **_settings(spec))


def build_schedule_free(
    spec: schema.ScheduleFreeAdamW,
    params: Iterable[torch.nn.Parameter],
    *,
    warmup_steps: int,
) -> torch.optim.Optimizer:
    """Schedule-free AdamW over `params`, which warms up by itself.

    Raises:
        UserError: if its package is not installed.
    """
    with _needed(spec, "schedulefree"):
        from experiments.optimizers.peers.schedulefree_adamw import AdamWScheduleFree
    return AdamWScheduleFree(params, warmup_steps=warmup_steps, **_settings(spec))


def _settings(spec: schema.Peer) -> dict[str, Any]:
    """What the peer's constructor takes, by the names that it has there."""
    return spec.model_dump(exclude={"kind", "warmup", "schedule"})


@contextmanager
def _needed(spec: schema.Peer, package: str, module: str | None = None) -> Iterator[None]:
    """Says which package to install if `module` (by default of the same name) is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != (module or package):
            raise
        raise UserError(
            f"optimizer={spec.kind} needs the package {package}: pip install '.[peers]'"
        ) from error
