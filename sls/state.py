"""What a search remembers from step to step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sls.conditions import Memory
from sls.step_sizes import StepMeans


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a search remembers, kept in the first parameter group under "search_state".

    Attributes:
        k: the number of calls of `step` so far.
        last_searched: the value of k in the last step that searched, or −1.
        step_size: the last accepted step, or None before the first.
        h: running mean of the decreases; 0 where a condition has none.
        s: running mean of the slopes p, or of η·p where the smoothing is by ratio; 0 likewise.
        fast: the fast running mean of the accepted step, slow: the slow one, or None.
    """

    k: int = 0
    last_searched: int = -1
    step_size: float | None = None
    h: float = 0.0
    s: float = 0.0
    fast: float | None = None
    slow: float | None = None

    @property
    def memory(self) -> Memory:
        """The condition's memory."""
        return Memory(self.h, self.s)

    @property
    def means(self) -> StepMeans | None:
        """The means of the accepted step."""
        if self.fast is None or self.slow is None:
            return None
        return StepMeans(self.fast, self.slow)

    def after_step(self, step_size: float) -> SearchState:
        """The state with one more accepted, or repeated, step in it."""
        means = StepMeans.after(self.means, step_size)
        return replace(self, step_size=step_size, fast=means.fast, slow=means.slow)
