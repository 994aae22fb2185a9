"""Checkpoints: everything that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from experiments.errors import UserError, reason_of
from experiments.files.run_folder import RunFolder
from experiments.training.checkpoint_schema import (
    FORMAT,
    SavedCheckpoint,
    parse_checkpoint,
    require_fitting,
    require_same_tensors,
)
from experiments.training.closure import Passes
from experiments.training.sealed import DamagedError, load_sealed, save_sealed


@dataclass
class Progress:
    """How far a run has come: counters, running sums and the evaluations to remember."""

    step: int = 0
    seconds: float = 0.0
    passes: Passes = field(default_factory=Passes)
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    non_finite_steps: int = 0
    evaluated_step: int = 0
    final: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    seconds_evaluation: float = 0.0
    steps_refused: int = 0


@dataclass(frozen=True)
class Parts:
    """What learns, and where: the parts whose state a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    device: torch.device


def save_checkpoint(folder: RunFolder, parts: Parts, progress: Progress) -> None:
    """Write `checkpoint.pt` atomically, after the rows of `metrics.jsonl` that belong to it."""
    state = {
        "format": FORMAT,
        "metrics_length": folder.sync_metrics(),
        "progress": asdict(progress),
        "model": parts.model.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "scheduler": None if parts.scheduler is None else parts.scheduler.state_dict(),
        "random": _random_state(parts.device),
    }
    save_sealed(folder.checkpoint_file, state)


def save_best(folder: RunFolder, model: nn.Module) -> None:
    """Write the model's parameters and buffers to `best.pt` atomically."""
    save_sealed(folder.best_file, model.state_dict())


def load_checkpoint(folder: RunFolder, parts: Parts, *, total_steps: int | None = None) -> Progress:
    """Put the state of `checkpoint.pt` into the parts and cut `metrics.jsonl` back to it.

    Without a checkpoint the parts stay as they are and the metrics start empty.

    Raises:
        UserError: if it, or the `best.pt` that it speaks of, cannot be read, was damaged, says what
            cannot be (as more than `total_steps` steps), or is of another model or optimizer.
    """
    if not folder.checkpoint_file.exists():
        folder.cut_metrics(0)
        return Progress()
    try:
        saved = parse_checkpoint(load_sealed(folder.checkpoint_file))
        if total_steps is not None and saved.progress.step > total_steps:
            raise ValueError(f"it is at step {saved.progress.step} of {total_steps}")
        require_fitting(saved, parts.model, parts.optimizer, parts.scheduler)
        progress = _restore(saved, parts)
    except Exception as error:  # a broken file can fail in any way
        raise UserError(
            f"{folder.checkpoint_file} does not load ({reason_of(error)}); "
            f"delete {folder.path} to start this run anew"
        ) from error
    if progress.best is not None:
        _require_best(folder, parts.model)
    folder.cut_metrics(saved.metrics_length)
    return progress


def _require_best(folder: RunFolder, model: nn.Module) -> None:
    """Raise UserError if `best.pt` is broken; one that somebody has deleted is not missed."""
    if not folder.best_file.exists():
        return
    try:
        require_same_tensors(load_sealed(folder.best_file), model)
    except (DamagedError, ValueError, OSError) as error:
        raise UserError(
            f"{folder.best_file} does not load ({reason_of(error)}); delete it to go on without, "
            f"or {folder.path} to start this run anew"
        ) from error


def _restore(saved: SavedCheckpoint, parts: Parts) -> Progress:
    parts.model.load_state_dict(saved.model)
    parts.optimizer.load_state_dict(saved.optimizer)
    # A line search reads its state when it is asked for it: what it cannot read is refused here.
    getattr(parts.optimizer, "search_state", None)
    if parts.scheduler is not None and saved.scheduler is not None:
        parts.scheduler.load_state_dict(saved.scheduler)
    progress = saved.progress.model_dump()
    passes = Passes(**progress.pop("passes"))
    _restore_random_state(saved.random, parts.device)
    return Progress(passes=passes, **progress)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def _restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
