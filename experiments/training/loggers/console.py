"""Rows for people: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from experiments.training.loggers.base import Logger, Row, RunInfo

SECONDS_BETWEEN_LINES = 10.0

# What an evaluation's row says besides losses and metrics.
PLACE = ("event", "step", "epoch", "seconds", "forward_passes", "backward_passes")


def console_logger() -> Logger:
    """The logger that suits where standard output goes."""
    return LiveConsole() if sys.stdout.isatty() else PlainConsole()


def say(text: str) -> None:
    """Print lines on standard output, at once."""
    print(text, flush=True)


def number(value: float | None) -> str:
    """A number in at most four digits or so; `-` for none."""
    return "-" if value is None else f"{value:.4g}"


def evaluation_line(row: Row) -> str:
    """An evaluation in one line: where in the run, losses, metrics."""
    results = [
        f"{name.replace('_', ' ')} {number(value)}"
        for name, value in row.items()
        if name not in PLACE
    ]
    return "  ".join([f"epoch {row['epoch']:.2f}", f"step {row['step']}", *results])


def beginning(info: RunInfo) -> str:
    """What runs, where, and from which step if not the first."""
    what = f"{info.task} · {info.model} · {info.optimizer} · seed {info.seed}"
    from_step = f", resumed after step {info.first_step}" if info.first_step > 0 else ""
    return f"{what}: {info.total_steps} steps{from_step}"


class PlainConsole:
    """A line an evaluation, and one every ten seconds or every tenth of the run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def start(self, info: RunInfo) -> None:
        """Say what runs."""
        self._total = info.total_steps
        self._last_line = self._clock()
        say(beginning(info))

    def step(self, row: Row) -> None:
        """Print the step if the last line is ten seconds or a tenth of the run ago."""
        step = row["step"]
        new_tenth = step * 10 // self._total != (step - 1) * 10 // self._total
        if not new_tenth and self._clock() - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = self._clock()
        say(
            f"step {step}/{self._total}  epoch {row['epoch']:.2f}  "
            f"loss {number(row['loss'])}  step size {number(row['step_size'])}"
        )

    def evaluation(self, row: Row) -> None:
        """Print the evaluation."""
        self._last_line = self._clock()
        say(f"evaluation  {evaluation_line(row)}")

    def finish(self, summary: Row) -> None:
        """Nothing: the table that follows says it all."""


class LiveConsole:
    """A bar with epoch, loss, step size and time left; evaluations scroll by above it."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  step size {task.fields[step_size]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
        )
        self._task: TaskID | None = None

    def start(self, info: RunInfo) -> None:
        """Say what runs and show the bar."""
        self._progress.console.print(beginning(info), markup=False, highlight=False)
        self._task = self._progress.add_task(
            "training",
            total=info.total_steps,
            completed=info.first_step,
            epoch=info.first_step / info.steps_per_epoch,
            loss="-",
            step_size="-",
        )
        self._progress.start()

    def step(self, row: Row) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(
                self._task,
                completed=row["step"],
                epoch=row["epoch"],
                loss=number(row["loss"]),
                step_size=number(row["step_size"]),
            )

    def evaluation(self, row: Row) -> None:
        """Print the evaluation above the bar."""
        self._progress.console.print(evaluation_line(row), markup=False, highlight=False)

    def finish(self, summary: Row) -> None:
        """Leave the bar as it is and give the terminal back."""
        self._progress.stop()
