"""The rate of optimizers that estimate the distance d to a solution."""

from __future__ import annotations

from typing import Any


class AdaptedRate:
    """Keeps d·lr of the step that was taken last; the peer updates d within the step.

    It comes before the peer among the bases, and expects d in the groups.
    """

    param_groups: list[dict[str, Any]]
    rate: float

    def step(self, closure: Any = None) -> Any:
        """Take the peer's step; returns what it returns."""
        group = self.param_groups[0]
        self.rate = float(group["d"]) * float(group["lr"])
        return super().step(closure)  # type: ignore[misc]  # the peer's
