"""Which of two rates is better: one rule for the sweep that chooses and the report that shows."""

from __future__ import annotations

import math


def badness(
    score: float, val_loss: float, lr: float, *, lower_is_better: bool
) -> tuple[float, float, float]:
    """What the best rate has least of: the score decides, then `val_loss`, then the rate.

    `score` is finite, of the final evaluations; a `val_loss` that is not finite is the worst.
    """
    return (
        score if lower_is_better else -score,
        val_loss if math.isfinite(val_loss) else math.inf,
        lr,
    )
