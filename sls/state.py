"""What a search remembers from step to step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sls.conditions import Memory
from sls.step_sizes import StepMeans, recovering_start, search_is_due, search_start


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
        level: the running mean of |f|, or None before the first step.
        failed_at: the last trial of the last search, if it failed; the next one starts there.
        recover_to: the last good step before searches failed, until a start has come back to it
            or a trial was rejected on the way.
    """

    k: int = 0
    last_searched: int = -1
    step_size: float | None = None
    h: float = 0.0
    s: float = 0.0
    fast: float | None = None
    slow: float | None = None
    level: float | None = None
    failed_at: float | None = None
    recover_to: float | None = None

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

    def start(self, init_step: float, growth: float) -> float:
        """The first step that the next search tries."""
        if self.failed_at is not None:
            return self.failed_at
        if self.recover_to is not None and self.step_size is not None:
            return recovering_start(self.step_size, self.recover_to, growth)
        return search_start(self.step_size, init_step, growth)

    def search_is_due(self) -> bool:
        """Whether step k searches under SaLSa's rule, or because the last search failed."""
        failed = self.failed_at is not None
        return failed or search_is_due(self.k, self.last_searched, self.means)

    def after_step(self, step_size: float) -> SearchState:
        """The state with one more accepted, or repeated, step in it."""
        means = StepMeans.after(self.means, step_size)
        return replace(self, step_size=step_size, fast=means.fast, slow=means.slow)

    def after_search(self, step_size: float, trials: int) -> SearchState:
        """The state with one more step in it, accepted at the last of so many trials."""
        back = trials > 1 or (self.recover_to is not None and step_size >= self.recover_to)
        recover_to = None if back else self.recover_to
        return replace(self.after_step(step_size), failed_at=None, recover_to=recover_to)

    def after_failure(self, last_trial: float, init_step: float) -> SearchState:
        """The state after a search that accepted none of its trials, the last one this."""
        good = init_step if self.step_size is None else self.step_size
        recover_to = good if self.recover_to is None else self.recover_to
        return replace(self, failed_at=last_trial, recover_to=recover_to)

    def with_new_means(self) -> SearchState:
        """The state whose smoothing starts anew: with h and s below 0 no small step would pass."""
        return replace(self, h=0.0, s=0.0)
