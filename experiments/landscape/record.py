"""The looked-at steps of a run: their lines as data, as JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any


@dataclass(frozen=True)
class Bound:
    """A straight line over the step: `at_zero + per_step·t`."""

    at_zero: float
    per_step: float

    def __call__(self, t: float) -> float:
        return self.at_zero + self.per_step * t


@dataclass(frozen=True)
class Line:
    """The loss `φ(t) = f(w − t·d)` along one direction.

    Attributes:
        direction: "searched", "taken", or "searched and taken".
        step: the step that was accepted, or taken, along it; one of `t`.
        t: steps, rising from 0.
        loss: the mini-batch's loss after each.
    """

    direction: str
    step: float
    t: tuple[float, ...]
    loss: tuple[float, ...]

    @property
    def best(self) -> int | None:
        """The index of the least loss that is finite; None if there is none."""
        finite = [index for index, loss in enumerate(self.loss) if math.isfinite(loss)]
        return min(finite, key=lambda index: self.loss[index]) if finite else None

    @property
    def best_step(self) -> float | None:
        """The step of the least loss on the grid."""
        return None if self.best is None else self.t[self.best]

    @property
    def best_is_last(self) -> bool:
        """Whether the least loss is at the end of the line, so that beyond it may be lower."""
        return self.best == len(self.t) - 1

    @property
    def ratio(self) -> float | None:
        """`step` over the best step; None where no step at all is best."""
        return self.step / self.best_step if self.best_step else None

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "best_step": self.best_step,
            "best_loss": None if self.best is None else self.loss[self.best],
            "best_is_last": self.best_is_last,
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class Look:
    """One step: its size, its acceptance bound, and the loss along its direction.

    Attributes:
        step: its number, from 1.
        status: a line search's, or "taken".
        loss: the mini-batch's loss before the step.
        accepted_step: the step η that a search accepted, or a given rate; 0 for none.
        step_taken: the same times the annealing factor.
        lines: the direction searched, then the one taken if it differs; empty if nothing moved.
        slope: `p = ⟨g, d⟩` of the direction searched.
        accepts: the loss up to which a trial is accepted; None without a search.
        armijo: `f(w) − c·p·t`; equal to `accepts` if the condition is not smoothed.
    """

    step: int
    status: str
    loss: float
    accepted_step: float
    step_taken: float
    lines: tuple[Line, ...]
    slope: float | None = None
    accepts: Bound | None = None
    armijo: Bound | None = None

    @property
    def searched(self) -> bool:
        """Whether a line search accepted the step by its condition."""
        return self.accepts is not None

    @property
    def smoothed(self) -> bool:
        """Whether the bound differs from Armijo's."""
        if self.accepts is None or self.armijo is None:
            return False
        pairs = zip(astuple(self.accepts), astuple(self.armijo), strict=True)
        return not all(math.isclose(one, other, rel_tol=1e-6) for one, other in pairs)

    @property
    def annealed(self) -> bool:
        """Whether less than the accepted step was taken."""
        return self.step_taken != self.accepted_step

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data; `ratio` and `best_step` are those of the direction taken."""
        taken = self.lines[-1] if self.lines else None
        return {
            **asdict(self),
            "status": str(self.status),
            "best_step": None if taken is None else taken.best_step,
            "ratio": None if taken is None else taken.ratio,
            "lines": [line.as_json() for line in self.lines],
        }


@dataclass(frozen=True)
class Landscape:
    """The chosen steps of a run. `reach` is the end of every line, in steps."""

    run: str
    task: str
    model: str
    optimizer: str
    seed: int
    reach: float
    largest_difference: float
    """Between the losses recorded by the run and those of its repetition; 0 if it is exact."""
    looks: tuple[Look, ...]

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        del values["looks"]
        return {**values, "steps": [look.as_json() for look in self.looks]}


def largest_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """The largest difference of two losses of the same step; infinite if only one is finite."""
    largest = 0.0
    for one, other in zip(losses, recorded, strict=False):
        if math.isfinite(one) and math.isfinite(other):
            largest = max(largest, abs(one - other))
        elif math.isfinite(one) != math.isfinite(other):
            return math.inf
    return largest


def summary_lines(landscape: Landscape) -> list[str]:
    """One line per step for the terminal, and a warning if the repetition was not exact."""
    lines = []
    for look in landscape.looks:
        parts = [f"step {look.step}: loss {look.loss:.4g}"]
        if not look.lines:
            parts.append(f"nothing moved ({look.status.replace('_', ' ')})")
        for line in look.lines:
            where = "" if len(look.lines) == 1 else f" in the direction {line.direction}"
            parts.append(f"step {line.step:.3g}, best {_best_text(line)}{where}")
        lines.append(", ".join(parts))
    if landscape.largest_difference > 0:
        lines.append(
            "the repetition is not exact: its losses differ from the recorded ones by up to "
            f"{landscape.largest_difference:.2g} (another machine, version or device?)"
        )
    return lines


def _best_text(line: Line) -> str:
    if line.best_step is None:
        return "unknown (no loss is finite)"
    if line.ratio is None:
        return "0 (any step raises the loss)"
    if line.best_is_last:
        return f"{line.best_step:.3g} or more (ratio at most {line.ratio:.2g})"
    return f"{line.best_step:.3g} (ratio {line.ratio:.2g})"
