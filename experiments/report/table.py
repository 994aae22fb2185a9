"""The short table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def summary_table(summary: Mapping[str, Any]) -> str:
    """The run in a few lines: final and best evaluation, then steps, time and passes a step."""
    names = list(dict.fromkeys([*summary["final"], *summary["best"]]))
    header = ["", *(name.replace("_", " ") for name in names)]
    body = [
        [which, *(_number(summary[which].get(name)) for name in names)]
        for which in ("final", "best")
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
    steps = summary["steps"]
    # Summaries of earlier versions do not count them.
    refused = summary.get("steps_refused", 0)
    told = f"; {refused} of {steps} steps moved nothing" if refused else ""
    return (
        f"{summary['status']}: {steps} steps in {summary['seconds_training']:.1f} s of training; "
        f"a step took {summary['forward_passes'] / steps:.2f} forward "
        f"and {summary['backward_passes'] / steps:.2f} backward passes{told}"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
