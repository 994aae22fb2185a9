"""The rule of the peak: how far the step may rise, told from judgements. No torch.

The target is the careful argmin of the expected loss along the last step, `η* = 2(1−c)·p_a/q`
with the near-end slope less its error and the curvature plus its own. The step rises towards a
share of it, and never falls by itself; once judging has ended it is held.

Source: this project; docs/no_settings.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sls.judge import Judgement, RunningMean, confident_ratio

# --- the constants of the rule -------------------------------------------------------------------

ARMIJO_SHARE = 0.4
"""c: the step whose expected gain is c times what its slope promises is `2(1−c)·p_a/q`."""
ERRORS = 1.0
"""κ: by how many standard errors the means are taken too low or too high, to be careful."""
NEAR = 0.3
"""θ: up to this share of the target the step rises fast."""
FASTEST_RISE = 1.5
"""The greatest factor of a step up to there."""
RISE_WITHOUT_TARGET = 1.2
"""The factor where no curvature bounds the step."""
CREEP = 0.03
"""The power of `η*/η` by which the step rises beyond that share."""
FADE_CURVATURE = 0.8
"""The factor of the running mean of the curvature, over judgements."""
FADE_SLOPE_EARLY, FADE_SLOPE = 0.9, 0.97
"""The factor of the running mean of the near-end slope, over steps: at first, and later."""
EARLY_STEPS = 24
"""Up to here is at first."""
FEWEST_JUDGEMENTS = 2
"""Before as many judgements nothing is known."""
PAUSE_SHARE = 12
"""The pause between judgements grows to a twelfth of the steps so far."""
JUDGED_SHARE = 0.4
"""The share of a run of known length in which steps are judged."""
SHORTEST_JUDGING = 200
"""In a run of unknown length at least as many steps are judged,"""
STILL_RISING = 1.1
"""and as many again as it took the step to rise to within this factor of where it is."""


@dataclass(frozen=True, slots=True)
class PeakState:
    """What the rule remembers.

    Attributes:
        k: the number of calls of `step` so far.
        step_size: the step η before annealing, or None before the first.
        target: the last careful argmin η*; infinite where nothing bounds it, None before.
        next_judgement: the first k in which a judgement is due.
        judgements: the number of them so far.
        slope: the running mean of the near-end slope p_a.
        curvature: that of the curvature q.
        mark: the k in which the step last rose by `STILL_RISING` beyond `mark_step`.
        mark_step: the step at that k, or None.
        settled: whether judging has ended and the peak is held.
    """

    k: int = 0
    step_size: float | None = None
    target: float | None = None
    next_judgement: int = 1
    judgements: int = 0
    slope: RunningMean = RunningMean()  # noqa: RUF009 - frozen
    curvature: RunningMean = RunningMean()  # noqa: RUF009
    mark: int = 0
    mark_step: float | None = None
    settled: bool = False

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PeakState:
        """What `dataclasses.asdict` made plain."""
        means = {name: RunningMean(**plain[name]) for name in ("slope", "curvature")}
        return cls(**{**plain, **means})

    @property
    def judgement_is_due(self) -> bool:
        """Whether step k is to judge the one before it."""
        return not self.settled and self.k >= self.next_judgement

    def with_judgement(self, judgement: Judgement) -> PeakState:
        """The state with the curvature of one more judgement, and the next one put off."""
        return replace(
            self,
            curvature=self.curvature.with_value(judgement.curvature, FADE_CURVATURE),
            judgements=self.judgements + 1,
            next_judgement=self.k + max(1, self.k // PAUSE_SHARE),
        )

    def with_slope(self, slope_far: float, step: float) -> PeakState:
        """The state with the far-end slope of one more step, and the step risen accordingly.

        Between judgements the near-end slope is `p_a = p_b + q·η`, with the mean curvature.

        Args:
            slope_far: p_b.
            step: η, the step really taken.
        """
        if self.judgements == 0:
            return self
        near = slope_far + self.curvature.mean * step
        fade = FADE_SLOPE_EARLY if self.k < EARLY_STEPS else FADE_SLOPE
        state = replace(self, slope=self.slope.with_value(near, fade))
        return state._risen() if state.judgements >= FEWEST_JUDGEMENTS else state

    def lowered(self) -> PeakState:
        """The state with half the step."""
        return self if self.step_size is None else replace(self, step_size=self.step_size / 2)

    def after_step(self, total_steps: int | None) -> PeakState:
        """The state for the next step."""
        state = replace(self._marked(), k=self.k + 1)
        return replace(state, settled=state.settled or state._has_settled(total_steps))

    def _risen(self) -> PeakState:
        assert self.step_size is not None  # noqa: S101 - a step was judged
        target = 2 * (1 - ARMIJO_SHARE) * confident_ratio(self.slope, self.curvature, ERRORS)
        return replace(self, target=target, step_size=next_step(self.step_size, target))

    def _marked(self) -> PeakState:
        if self.step_size is None:
            return self
        if self.mark_step is not None and self.step_size <= STILL_RISING * self.mark_step:
            return self
        return replace(self, mark=self.k, mark_step=self.step_size)

    def _has_settled(self, total_steps: int | None) -> bool:
        if total_steps is not None:
            return self.k >= JUDGED_SHARE * total_steps
        return self.k >= max(SHORTEST_JUDGING, 2 * self.mark)


def next_step(step_size: float, target: float) -> float:
    """The step after η, given the careful argmin η*: up to `θ·η*` fast, beyond it slowly.

    It never falls.
    """
    if target == math.inf:
        return step_size * RISE_WITHOUT_TARGET
    if step_size < NEAR * target:
        return min(FASTEST_RISE * step_size, NEAR * target)
    if step_size < target:
        return float(step_size * (target / step_size) ** CREEP)
    return step_size
