"""Step sizes from step to step: where a search starts, how often to search, annealing. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sls.conditions import Memory, running_mean

FAST, SLOW = 0.9, 0.99
LONGEST_PAUSE = 10
FIRST_STEPS_SEARCHED = 10
RECOVERY = 10.0
"""The growth after a failed search, back to the last good step."""


def anneal_factor(k: int, total_steps: int | None, anneal: float) -> float:
    """The factor on the accepted step: 1, then linearly to 0 over the last part of the run.

    `min(1, (T − k)/(a·T))` for step k = 0, 1, … of T = `total_steps`, a = `anneal` in (0, 1];
    0 from step T on, and always 1 where `total_steps` is None.
    """
    if total_steps is None or k < (1 - anneal) * total_steps:
        return 1.0
    return max(0.0, (total_steps - k) / (anneal * total_steps))


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a search remembers, kept in the first parameter group under "search_state".

    Attributes:
        k: the number of calls of `step` so far.
        last_searched: the value of k in the last step that searched, or −1.
        step_size: the last accepted step, or None before the first.
        h: the condition's memory, 0 where unused: for the smoothed conditions the running mean of
            the decreases,
        s: and that of the slopes p, or of η·p where the smoothing is by ratio.
        fast: the running mean of the accepted step with factor 0.9, or None before the first.
        slow: that with factor 0.99.
        level: the running mean of |f|, or None before the first step.
        failed_at: the last trial of the last search, if it failed; the next one starts there.
        recover_to: the last good step before searches failed, until a start has come back to it
            or a trial was rejected on the way.
        extra: the number of forward passes beyond one a step so far.
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
    extra: int = 0

    @property
    def memory(self) -> Memory:
        """The condition's memory."""
        return Memory(self.h, self.s)

    def start(self, init_step: float, growth: float) -> float:
        """The first step that the next search tries: `η_{k−1}·growth`, with `η₋₁ = init_step`.

        The first search grows too, as in the published codes of all four papers. After a failed
        search the next one starts at the last trial, and the ones after it at ten times the step
        before, up to the last good step from before the failure: one bad mini-batch would
        otherwise cost as many steps as growth needs for a search of 100 trials.
        """
        if self.failed_at is not None:
            return self.failed_at
        if self.step_size is None:
            return init_step * growth
        start = self.step_size * growth
        if self.recover_to is None:
            return start
        return max(start, min(self.step_size * RECOVERY, self.recover_to))

    def search_is_due(self) -> bool:
        """Whether step k searches under SaLSa's rule: in the first ten steps, after a failed
        search, and then every L steps.
        """
        if self.failed_at is not None or self.k < FIRST_STEPS_SEARCHED:
            return True
        return self.k - self.last_searched >= self.pause()

    def search_is_affordable(self, share: float) -> bool:
        """Whether step k may search on a budget: one trial more stays within `share·(k + 1)`.

        Until a search has found a first step every step searches, since there is none to repeat.
        A search of several trials is paid back by the steps after it: after n steps the extra
        forward passes are at most `share·n` and those of one search, or those of the searches
        until the first step.
        """
        return self.step_size is None or self.extra + 1 <= share * (self.k + 1)

    def pause(self) -> int:
        """`L = 1/(r−1)`, rounded, in [1, 10]: a search is due L steps after the last one.

        r is the ratio of the fast and the slow running mean of the accepted step, inverted where
        below 1: the faster the step changes, the sooner the next search.

        Source: Kenneweg et al. (2024), arXiv 2407.20650.
        """
        if self.fast is None or self.slow is None:  # no step was accepted yet
            return 1
        ratio = self.fast / self.slow
        excess = max(ratio, 1 / ratio) - 1
        if excess * LONGEST_PAUSE <= 1:
            return LONGEST_PAUSE
        return max(1, round(1 / excess))

    def after_step(self, step_size: float) -> SearchState:
        """The state with one more accepted, or repeated, step in it; the first starts the means."""
        fast = step_size if self.fast is None else running_mean(self.fast, step_size, FAST)
        slow = step_size if self.slow is None else running_mean(self.slow, step_size, SLOW)
        return replace(self, step_size=step_size, fast=fast, slow=slow)

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
