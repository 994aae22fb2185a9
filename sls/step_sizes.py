"""Where a search starts, how often to search, and annealing. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from sls.conditions import running_mean

FAST, SLOW = 0.9, 0.99
LONGEST_PAUSE = 10
FIRST_STEPS_SEARCHED = 10
RECOVERY = 10.0
"""The growth after a failed search, back to the last good step."""


def search_start(previous: float | None, init_step: float, growth: float) -> float:
    """The first step tried, `η_{k−1}·growth`, with `η₋₁ = init_step`: the first search grows too.

    So it is in the published codes of all four papers.
    """
    return (init_step if previous is None else previous) * growth


def recovering_start(previous: float, recover_to: float, growth: float) -> float:
    """The first step tried after one that followed a failed search.

    Ten times the step before, up to the last good step `recover_to` from before the failure: one
    bad mini-batch would else cost as many steps as growth needs for a search of 100 trials.
    """
    return max(previous * growth, min(previous * RECOVERY, recover_to))


def anneal_factor(k: int, total_steps: int | None, anneal: float) -> float:
    """The factor on the accepted step: 1, then linearly to 0 over the last part of the run.

    `min(1, (T − k)/(a·T))` for step k = 0, 1, … of T = `total_steps`, a = `anneal` in (0, 1];
    0 from step T on, and always 1 where `total_steps` is None.
    """
    if total_steps is None or k < (1 - anneal) * total_steps:
        return 1.0
    return max(0.0, (total_steps - k) / (anneal * total_steps))


@dataclass(frozen=True, slots=True)
class StepMeans:
    """Two running means of the accepted step, one fast (0.9) and one slow (0.99).

    Their ratio tells how much the step is changing, and so how soon to search again.

    Source: Kenneweg et al. (2024), arXiv 2407.20650.
    """

    fast: float
    slow: float

    @classmethod
    def after(cls, means: StepMeans | None, step_size: float) -> StepMeans:
        """The means with one more step in them; both start at the first step."""
        if means is None:
            return cls(step_size, step_size)
        return cls(
            running_mean(means.fast, step_size, FAST), running_mean(means.slow, step_size, SLOW)
        )

    def pause(self) -> int:
        """`L = 1/(r−1)`, rounded, in [1, 10]: a search is due L steps after the last one.

        `r` is the ratio of the means, inverted where below 1.
        """
        ratio = self.fast / self.slow
        excess = max(ratio, 1 / ratio) - 1
        if excess * LONGEST_PAUSE <= 1:
            return LONGEST_PAUSE
        return max(1, round(1 / excess))


def search_is_due(k: int, last_searched: int, means: StepMeans | None) -> bool:
    """Whether step k searches under SaLSa's rule: always in the first ten, then every L steps."""
    if k < FIRST_STEPS_SEARCHED or means is None:
        return True
    return k - last_searched >= means.pause()
