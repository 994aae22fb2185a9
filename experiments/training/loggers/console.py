"""The console: a live bar on a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from experiments.training.loggers.base import Logger, Row, RunInfo

SECONDS_BETWEEN_LINES = 10.0

# Keys of an evaluation's row besides losses and metrics.
PLACE = ("event", "step", "epoch", "seconds", "forward_passes", "backward_passes")


def console_logger() -> Logger:
    """The logger that suits standard output."""
    return LiveConsole() if sys.stdout.isatty() else PlainConsole()


def say(text: str) -> None:
    """Print lines on standard output, at once."""
    print(text, flush=True)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def evaluation_line(row: Row) -> str:
    """An evaluation in one line: epoch, step, losses, metrics."""
    results = (f"{k.replace('_', ' ')} {number(row[k])}" for k in row if k not in PLACE)
    return "  ".join([f"epoch {row['epoch']:.2f}", f"step {row['step']}", *results])


def first_line(info: RunInfo) -> str:
    """Task, model, optimizer, seed, number of steps, and the step to resume after."""
    names = info.config.choices
    what = f"{names.task} · {names.model} · {names.optimizer} · seed {info.config.seed}"
    resumed = f", resumed after step {info.first_step}" if info.first_step > 0 else ""
    return f"{what}: {info.total_steps} steps{resumed}"


class PlainConsole(Logger):
    """One line per evaluation, and one every ten seconds or every tenth of the run."""

    name = "the console"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def start(self, info: RunInfo) -> None:
        self._total = info.total_steps
        self._last_line = self._clock()
        say(first_line(info))

    def step(self, row: Row) -> None:
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
        self._last_line = self._clock()
        say(f"evaluation  {evaluation_line(row)}")


class LiveConsole(Logger):
    """A bar with epoch, loss, step size and time left; evaluations scroll by above it."""

    name = "the console"

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
        self._task = TaskID(0)

    def start(self, info: RunInfo) -> None:
        self._progress.console.print(first_line(info), markup=False, highlight=False)
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
        self._progress.update(
            self._task,
            completed=row["step"],
            epoch=row["epoch"],
            loss=number(row["loss"]),
            step_size=number(row["step_size"]),
        )

    def evaluation(self, row: Row) -> None:
        self._progress.console.print(evaluation_line(row), markup=False, highlight=False)

    def finish(self, summary: Row) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._progress.stop()


def summary_table(summary: Mapping[str, Any]) -> str:
    """A run in a few lines: final and best evaluation, then steps, time and passes per step.

    What the summary lacks is a dash.
    """
    evaluations = {which: summary.get(which) or {} for which in ("final", "best")}
    names = list(evaluations["final"] | evaluations["best"])
    table = Table("", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(Text(name.replace("_", " ")), justify="right", no_wrap=True)
    for which, numbers in evaluations.items():
        # Counts as they are, other numbers with four digits.
        values = (numbers.get(name) for name in names)
        table.add_row(
            which,
            *("-" if v is None else str(v) if isinstance(v, int) else f"{v:.4f}" for v in values),
        )
    text = io.StringIO()
    # As wide as it needs to be: a pipe or a log has no width.
    Console(file=text, width=10_000, color_system=None).print(table)
    return text.getvalue() + _cost(summary)


def _cost(summary: Mapping[str, Any]) -> str:
    steps, seconds = summary.get("steps"), summary.get("seconds_training")
    per_step = []
    for which in ("forward", "backward"):
        passes = summary.get(f"{which}_passes")
        per_step.append(f"{passes / steps:.2f}" if steps and passes is not None else "-")
    # Summaries of earlier versions do not count them.
    refused = summary.get("steps_refused") or 0
    return (
        f"{summary['status']}: {'-' if steps is None else steps} steps in "
        f"{'-' if seconds is None else f'{seconds:.1f}'} s of training; "
        f"a step took {per_step[0]} forward and {per_step[1]} backward passes"
        + (f"; {refused} of {steps} steps moved nothing" if refused else "")
    )
