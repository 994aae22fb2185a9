"""The figure of a run: its losses and its step sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.errors import UserError
from experiments.files.atomic import atomic_file
from experiments.files.reading import read_yaml
from experiments.files.run_folder import RunFolder
from experiments.files.shapes import ReportedConfig
from experiments.optimizers.line_styles import BLUE, GREEN, GREY, ORANGE
from experiments.report.figures.curves import smoothed, spans_decades
from sls.record import Status

_REFUSED = frozenset(status for status in Status if not status.moved)

Rows = list[dict[str, Any]]


def draw_curves(folder: RunFolder) -> list[int]:
    """Draw `curves.png` from `config.yaml` and from what can be read of `metrics.jsonl`.

    Returns the numbers of the lines that are not rows and were left out.
    """
    rows, broken = folder.readable_rows()
    steps = [row for row in rows if row["event"] == "step"]
    evaluations = [row for row in rows if row["event"] == "evaluation"]
    figure = Figure(figsize=(9.0, 6.4), dpi=100, layout="constrained")
    losses, step_sizes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(_title(folder), fontsize=13)
    _draw_losses(losses, steps, evaluations)
    _draw_step_sizes(step_sizes, steps)
    for axes in (losses, step_sizes):
        axes.grid(True, which="major", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_file(folder.curves_file) as file:
        figure.savefig(file, format="png")
    return broken


def _title(folder: RunFolder) -> str:
    try:
        config = read_yaml(folder.config_file, ReportedConfig)
    except UserError:
        config = None
    if config is None:
        return folder.path.name
    choices = config["choices"]
    names = (choices["task"], choices["model"], choices["optimizer"])
    return " · ".join([*names, f"seed {config['seed']}"])


def _draw_losses(axes: Axes, steps: Rows, evaluations: Rows) -> None:
    x = _column(steps, "step")
    loss = _column(steps, "loss")
    axes.plot(x, loss, color=BLUE, alpha=0.3, linewidth=0.7, label="training loss of a batch")
    axes.plot(x, smoothed(loss), color=BLUE, linewidth=2.0, label="the same, smoothed")
    axes.plot(
        _column(evaluations, "step"),
        _column(evaluations, "val_loss"),
        color=ORANGE,
        marker="o",
        markersize=4.5,
        linewidth=1.2,
        label="validation loss",
    )
    _rug(axes, x[~np.isfinite(loss)], "loss not finite", ORANGE)
    if spans_decades(loss):
        axes.set_yscale("log")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, loc="upper right")


def _draw_step_sizes(axes: Axes, steps: Rows) -> None:
    x, accepted = _column(steps, "step"), _column(steps, "step_size")
    taken = accepted * np.nan_to_num(_column(steps, "factor"), nan=1.0)
    if np.array_equal(taken, accepted, equal_nan=True):
        axes.plot(x, accepted, color=GREEN, linewidth=1.2, label="step size")
    else:
        axes.plot(x, accepted, color=GREEN, alpha=0.45, linewidth=0.8, label="accepted step")
        axes.plot(x, taken, color=GREEN, linewidth=1.4, label="step taken, annealed")
    repeated = np.array([row.get("searched") is False for row in steps], dtype=bool)
    failed = np.array([row.get("status") in _REFUSED for row in steps], dtype=bool)
    _rug(axes, x[repeated & ~failed], "not searched", GREY)
    if failed.any():
        label = f"failed ({failed.sum()})"
        axes.plot(x[failed], taken[failed], "x", markersize=5, color=ORANGE, label=label)
    if (taken > 0).any():
        axes.set_yscale("log", nonpositive="mask")
        # The last annealed steps are next to zero and would squeeze all others together.
        axes.set_ylim(bottom=max(np.nanmin(accepted[accepted > 0]) / 100, taken[taken > 0].min()))
    axes.set_ylabel("step size")
    axes.set_xlabel("step")
    axes.legend(frameon=False, loc="best")


def _rug(axes: Axes, x: np.ndarray, label: str, colour: str) -> None:
    """A tick at the foot of the panel for each of some steps, if there are any."""
    if len(x) > 0:
        foot = axes.get_xaxis_transform()
        label = f"{label} ({len(x)})"
        y = np.full(len(x), 0.025)
        axes.plot(x, y, "|", markersize=6, color=colour, transform=foot, label=label)


def _column(rows: Rows, name: str) -> np.ndarray:
    """The values of one key; a missing one is NaN and leaves a gap."""
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=float)
