"""On which examples and by which number rates were chosen, in words."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.report.numbers.tuning_grid import Point
from experiments.report.titles import row_title
from experiments.tuning import Decider

_BY: dict[Decider, str] = {
    "score": "the best mean final score",
    "val_loss": "the lowest mean final validation loss",
}


def terms(points: Sequence[Point]) -> str:
    """Sentences; where rows differ, those for some rows begin with their names."""
    rows: dict[str, list[str]] = {}
    for point in points:
        of_row = rows.setdefault(f"{_where(point.hold_out)} {_winner(point.decider)}", [])
        if point.row not in of_row:
            of_row.append(point.row)
    if len(rows) == 1:
        return next(iter(rows))
    return " ".join(f"{', '.join(map(row_title, names))}: {said}" for said, names in rows.items())


def _where(hold_out: float) -> str:
    if hold_out:
        return (
            f"Rates were tried on {hold_out:.3g} of the training examples, which were held out; "
            "the validation split was not looked at."
        )
    return (
        "Rates were tried on the validation split itself, no examples were held out; this favours "
        "the optimizers that were tuned."
    )


def _winner(decider: Decider) -> str:
    return (
        f"The winner is the rate with {_BY[decider]} among those whose runs all ended without "
        "diverging."
    )
