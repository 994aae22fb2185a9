"""The short table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def summary_table(summary: Mapping[str, Any]) -> str:
    """The run in a few lines: final and best evaluation, then steps, time and passes a step.

    A dash is for what the summary does not say.
    """
    evaluations = {which: summary.get(which) or {} for which in ("final", "best")}
    names = list(dict.fromkeys(name for numbers in evaluations.values() for name in numbers))
    header = ["", *(name.replace("_", " ") for name in names)]
    body = [
        [which, *(_number(numbers.get(name)) for name in names)]
        for which, numbers in evaluations.items()
    ]
    return "\n".join([*_aligned([header, *body]), _cost(summary)])


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, the first column to the left and the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in table
    ]


def _cost(summary: Mapping[str, Any]) -> str:
    seconds = summary.get("seconds_training")
    took = "-" if seconds is None else f"{seconds:.1f}"
    forward, backward = (_a_step(summary, f"{which}_passes") for which in ("forward", "backward"))
    steps = summary.get("steps", "-")
    # Summaries of earlier versions do not count them.
    refused = summary.get("steps_refused") or 0
    told = f"; {refused} of {steps} steps moved nothing" if refused else ""
    return (
        f"{summary['status']}: {steps} steps in {took} s of training; "
        f"a step took {forward} forward and {backward} backward passes{told}"
    )


def _a_step(summary: Mapping[str, Any], key: str) -> str:
    steps, passes = summary.get("steps"), summary.get(key)
    return f"{passes / steps:.2f}" if steps and passes is not None else "-"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
