"""A picture of a finished run from the records of its steps. matplotlib is imported when called."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sls.record import Ended, Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSS, MEAN, STEP, TRIALS, REFUSED = "#b8c4d6", "#1f4e8c", "#1b7f5c", "#8a8f98", "#c8443c"
MISSING = "sls.plot needs matplotlib: pip install matplotlib"
FADE = 0.9
"""The factor of the running mean of the loss that is drawn."""
DECADES = 20.0
"""A loss or a step that spans more than this factor has a logarithmic axis."""


def plot(records: Iterable[Ended]) -> Figure:
    """Draw a run: its losses, its steps and its trials, one below the other.

    Steps that moved nothing are marked in red. The step is drawn as it was taken, after annealing;
    a thin line is the one before.

    Args:
        records: `optimizer.last_step` of every step, in order.

    Returns:
        A matplotlib figure, for `figure.savefig("run.png")`, or for a notebook to show.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no record.

    Examples:
        >>> import torch
        >>> import sls
        >>> w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        >>> optimizer, records = sls.ALSALS([w]), []
        >>> hook = optimizer.register_step_post_hook(
        ...     lambda optimizer, args, kwargs: records.append(optimizer.last_step)
        ... )
        >>> for _ in range(20):
        ...     loss = optimizer.step(lambda: (w**2).sum())
        >>> figure = sls.plot(records)
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss', 'step', 'trials']
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError(MISSING) from error
    run = list(records)
    if not run:
        raise ValueError("plot needs the record of one step at least; there is none")
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    axes: list[Axes] = list(figure.subplots(3, sharex=True, height_ratios=(3, 3, 1.5)))
    _losses(axes[0], [record.loss for record in run])
    _steps(axes[1], run)
    axes[2].bar(range(len(run)), [x.trials for x in run], width=1.0, color=TRIALS)
    axes[2].set(ylabel="trials", xlabel="training step", xlim=(-0.5, len(run) - 0.5))
    for one in (axes[2].xaxis, axes[2].yaxis):
        one.set_major_locator(MaxNLocator(integer=True, nbins=4 if one is axes[2].yaxis else 9))
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#e6e8ec", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure


def _losses(axes: Axes, losses: list[float]) -> None:
    mean, means = float("nan"), []
    for loss in losses:
        # A loss that is not finite would stay in the mean for good.
        if math.isfinite(loss):
            mean = FADE * mean + (1 - FADE) * loss if math.isfinite(mean) else loss
        means.append(mean)
    axes.plot(losses, color=LOSS, linewidth=0.8, label="mini-batch")
    axes.plot(means, color=MEAN, linewidth=1.6, label="running mean")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize="small")
    _scale(axes, losses)


def _steps(axes: Axes, run: list[Any]) -> None:
    chosen = [x.step_size for x in run]
    taken = [x.step_size * x.factor if x.status.moved else float("nan") for x in run]
    if any(x.factor != 1 for x in run):
        axes.plot(chosen, color=STEP, linewidth=0.8, alpha=0.5, label="before annealing")
    axes.plot(taken, color=STEP, linewidth=1.6, label="taken")
    refused = [k for k, x in enumerate(run) if not x.status.moved or x.status is Status.LOWERED]
    if refused:
        at = [chosen[k] for k in refused]
        axes.plot(refused, at, "|", color=REFUSED, label="nothing moved, or lowered")
    axes.set_ylabel("step")
    axes.legend(frameon=False, fontsize="small")
    _scale(axes, [x for x in taken if x > 0])


def _scale(axes: Axes, values: list[float]) -> None:
    finite = [x for x in values if math.isfinite(x)]
    if finite and min(finite) > 0 and max(finite) > DECADES * min(finite):
        axes.set_yscale("log")
