"""Checkpoints: everything that a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from experiments.atomic_files import atomic_file
from experiments.errors import UserError
from experiments.run_folder import RunFolder
from experiments.training.closure import Passes

FORMAT = 1


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
    with atomic_file(folder.checkpoint_file) as file:
        torch.save(state, file)


def save_best(folder: RunFolder, model: nn.Module) -> None:
    """Write the model's parameters and buffers to `best.pt` atomically."""
    with atomic_file(folder.best_file) as file:
        torch.save(model.state_dict(), file)


def load_checkpoint(folder: RunFolder, parts: Parts) -> Progress:
    """Put the state of `checkpoint.pt` into the parts and cut `metrics.jsonl` back to it.

    Without a checkpoint the parts stay as they are and the metrics start empty.

    Raises:
        UserError: if the file cannot be read, or is of another model or optimizer.
    """
    if not folder.checkpoint_file.exists():
        folder.cut_metrics(0)
        return Progress()
    try:
        state = torch.load(folder.checkpoint_file, map_location="cpu", weights_only=True)
        length, progress = _restore(state, parts)
    except Exception as error:  # a broken file can fail in any way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{folder.checkpoint_file} does not load ({reason}); "
            f"delete {folder.path} to start this run anew"
        ) from error
    folder.cut_metrics(length)
    return progress


def _restore(state: dict[str, Any], parts: Parts) -> tuple[int, Progress]:
    if state["format"] != FORMAT:
        raise ValueError(f"its format is {state['format']}, not {FORMAT}")
    parts.model.load_state_dict(state["model"])
    parts.optimizer.load_state_dict(state["optimizer"])
    if (parts.scheduler is None) != (state["scheduler"] is None):
        raise ValueError("it is of a run with another schedule")
    if parts.scheduler is not None:
        parts.scheduler.load_state_dict(state["scheduler"])
    progress = dict(state["progress"])
    passes = Passes(**progress.pop("passes"))
    _restore_random_state(state["random"], parts.device)
    return state["metrics_length"], Progress(passes=passes, **progress)


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
