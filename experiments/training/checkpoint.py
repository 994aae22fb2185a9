"""Checkpoints: all that a killed run needs to go on, and signals that wait to be saved in one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from experiments.errors import UserError, reason_of
from experiments.files.run_folder import RunFolder
from experiments.stopping import Stopped, raised_signal
from experiments.training.checkpoint_file import (
    DamagedError,
    load_with_checksum,
    save_with_checksum,
)
from experiments.training.checkpoint_schema import (
    Progress,
    parse_checkpoint,
    require_fitting,
    require_same_tensors,
)
from experiments.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Parts:
    """The parts of a training whose state a checkpoint holds, and their device."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    device: torch.device


def save_checkpoint(
    folder: RunFolder, parts: Parts, progress: Progress, processes: Processes = ALONE
) -> None:
    """Write `checkpoint.pt` atomically, after the rows of `metrics.jsonl` that belong to it.

    The first of several processes writes it, with the states of all random generators.
    """
    random = processes.gather(_random_state(parts.device))
    if not processes.is_first:
        return
    state: dict[str, Any] = {
        "format": 1,
        "metrics_length": folder.sync_metrics(),
        "progress": asdict(progress),
        "model": parts.model.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "scheduler": None if parts.scheduler is None else parts.scheduler.state_dict(),
        "random": random[0],
    }
    if len(random) > 1:
        state["random_of_others"] = random[1:]
    save_with_checksum(folder.checkpoint_file, state)


def save_best(folder: RunFolder, model: nn.Module) -> None:
    """Write the model's parameters and buffers to `best.pt` atomically."""
    save_with_checksum(folder.best_file, model.state_dict())


def load_checkpoint(
    folder: RunFolder,
    parts: Parts,
    *,
    total_steps: int | None = None,
    processes: Processes = ALONE,
) -> Progress:
    """Load `checkpoint.pt` into the parts and cut `metrics.jsonl` back to its length then.

    Without a checkpoint the parts stay as they are and the metrics start empty. The first of
    several processes reads it for all. Raises `UserError` if it, or its `best.pt`, is unreadable,
    damaged, impossible (for example more than `total_steps` steps), or of another model, optimizer
    or number of processes.
    """
    if not processes.from_first(folder.checkpoint_file.exists):
        if processes.is_first:
            folder.cut_metrics(0)
        return Progress()
    try:
        saved = parse_checkpoint(
            processes.from_first(lambda: load_with_checksum(folder.checkpoint_file))
        )
        progress = saved.progress
        if total_steps is not None and progress.step > total_steps:
            raise ValueError(f"it is at step {progress.step} of {total_steps}")
        require_fitting(saved, parts.model, parts.optimizer, parts.scheduler)
        parts.model.load_state_dict(saved.model)
        parts.optimizer.load_state_dict(saved.optimizer)
        # A line search parses its state only when it needs it: refuse here what it cannot read.
        getattr(parts.optimizer, "search_state", None)
        if parts.scheduler is not None and saved.scheduler is not None:
            parts.scheduler.load_state_dict(saved.scheduler)
        states = [saved.random, *saved.random_of_others]
        if len(states) != processes.part.count:
            raise ValueError(f"it is of {len(states)} processes, now {processes.part.count}")
        _restore_random_state(states[processes.part.rank], parts.device)
    except Exception as error:  # a broken file can fail in any way
        raise UserError(
            f"{folder.checkpoint_file} does not load ({reason_of(error)}); "
            f"delete {folder.path} to start this run anew"
        ) from error
    if not processes.is_first:
        return progress
    if progress.best is not None and folder.best_file.exists():  # it may have been deleted
        try:
            require_same_tensors(load_with_checksum(folder.best_file), parts.model)
        except (DamagedError, ValueError, OSError) as error:
            raise UserError(
                f"{folder.best_file} does not load ({reason_of(error)}); delete it to go on "
                f"without, or {folder.path} to start this run anew"
            ) from error
    folder.cut_metrics(saved.metrics_length)
    return progress


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


# ----------------------------------------------------------------------- Ctrl-C and SIGTERM


class InterruptedBetweenSteps(Stopped):
    """A signal, raised where the state of the run is whole and worth a checkpoint."""


class Interrupt:
    """Remembers a signal until `check` is called."""

    def __init__(self, processes: Processes = ALONE) -> None:
        # An earlier signal may have been swallowed by the code that it interrupted.
        self.number = raised_signal()
        self._processes = processes

    def check(self) -> None:
        """Raise `InterruptedBetweenSteps` if a signal has come, to any of the processes.

        All of them call this equally often, and so stop in the same place.
        """
        number = self._processes.signal(self.number)
        if number is not None:
            raise InterruptedBetweenSteps(number)


@contextmanager
def deferred_interrupt(processes: Processes = ALONE) -> Iterator[Interrupt]:
    """Within, a first Ctrl-C or SIGTERM is remembered; a second one interrupts at once.

    An error after it is taken to come from it, for example because SIGTERM has ended the data
    workers; the last checkpoint stands then. Only the main thread can set signal handlers, so in
    other threads nothing changes.
    """
    interrupt = Interrupt(processes)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _frame: FrameType | None) -> None:
        interrupt.number = number
        signal.signal(number, previous[signal.Signals(number)])

    for number, handler in previous.items():
        # A SLURM job ignores SIGTERM, and is stopped by Ctrl-C.
        if number == signal.SIGINT or handler is not signal.SIG_IGN:
            signal.signal(number, remember)
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
