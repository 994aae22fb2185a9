"""Evidence: whether a mini-batch says anything about the step, and whether its loss repeats.

No torch.
"""

from __future__ import annotations

import math

from sls.conditions import running_mean

LEVEL_FADE = 0.9
NOISE_FACTOR = 1000.0
"""Two evaluations at one place may differ by so many roundings, as atomic sums on a GPU do."""


def next_level(level: float | None, loss: float) -> float:
    """The running mean of `|f|`: the scale of the losses, and of their noise."""
    return abs(loss) if level is None else running_mean(level, abs(loss), LEVEL_FADE)


def proves_nothing(
    *,
    step_size: float,
    slope: float,
    loss: float,
    loss_next: float,
    level: float | None,
    eps: float,
) -> bool:
    """Whether neither slope nor decrease can be measured: the mini-batch says nothing about η.

    Both `|Δ(η)|` and `max(η, 1)·|p|` lie within the rounding `2·ε` of the largest of `|f(w)|`,
    `|f(w − η·d)|` and the mean `|f|` of the steps before. A slope is measured against a step of
    1 at least, so that a step that is merely small proves something.

    Args:
        step_size: η, the first step tried.
        slope: `p = ⟨g, d⟩`.
        loss: `f(w)`.
        loss_next: `f(w − η·d)`.
        level: the mean `|f|`, or None before the first step.
        eps: ε, the precision of the losses.
    """
    if not math.isfinite(loss_next):
        return False
    scale = max(abs(loss), abs(loss_next), level or 0.0)
    within = 2 * eps * scale
    return abs(loss - loss_next) <= within and max(step_size, 1.0) * abs(slope) <= within


def repeats(loss: float, again: float, eps: float) -> bool:
    """Whether two evaluations at one place agree, up to `NOISE_FACTOR` roundings."""
    return abs(loss - again) <= NOISE_FACTOR * eps * max(abs(loss), abs(again))
