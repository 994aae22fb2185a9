"""The rule of PeakSLS: how far the step rises, judged on fresh mini-batches. No torch.

Three phases.

**Rising.** Every step is judged on the next mini-batch by a parabola (`sls.judge`). Its careful
argmin, near-end slope less its error over curvature plus its own, is the target η*. The step
rises to the share θ of it: the first steps of a run promise too much.

**Settling.** How far may the step rise where the run is really going? Eight steps in a row move
the parameters from an anchor a to w. On a fresh mini-batch `s = ⟨∇f_k(w_k), a − w_k⟩` is positive
where going further the same way would still descend: the steps *persist*. Steps that are too
large turn back within the window. `n = Σ 0.8ⁱ s / Σ 0.8ⁱ |s|` lies in [−1, 1]; the step rises
where n is above `TURNING`, falls where it is below, and ever less from window to window. The
slopes cost no forward pass.

**Held.** After eight windows the step stays where it is.

Source: this project; docs/no_settings.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sls.judge import Judgement, RunningMean, confident_ratio

# --- rising --------------------------------------------------------------------------------------

ERRORS = 1.0
"""κ: by how many standard errors the means are taken too low or too high, to be careful."""
NEAR = 0.3
"""θ: the share of the target that ends the rise."""
FASTEST_RISE = 1.4
"""The greatest factor from one step to the next."""
RISE_WITHOUT_TARGET = 1.2
"""The factor where no curvature bounds the step."""
FADE_SLOPE, FADE_CURVATURE = 0.9, 0.8
"""The factors of the two running means."""
FEWEST_JUDGEMENTS = 2
"""Before so many judgements nothing is known."""
FAR_TOO_LARGE = 10.0
"""What the first step is divided by while it loses the loss, or more than doubles it."""
PATIENCE = 12
"""After so many judgements without a gain beyond its error the step settles where it is."""
LONGEST_RISE = 60
"""After so many judgements in all the step settles where it is."""

# --- settling ------------------------------------------------------------------------------------

WINDOW = 8
"""Steps from an anchor to the next."""
WINDOWS = 8
"""Windows until the step is held."""
JUDGED_SHARE = 0.4
"""In a run of known length the step is held from here at the latest."""
FADE_PERSISTENCE = 0.8
"""The factor of both sums in n, from step to step."""
TURNING = -0.5
"""The n that leaves the step as it is. At 0 the step is greedy: it is the best for the loss after
one window. Twice that, where the slope at the far end has turned round, is best for a run that
ends with annealing."""
GAIN = 1.5
"""The logarithm of the step changes by `GAIN·(n − TURNING)` in the first window."""
GAIN_HALVED = 6
"""The window in which the gain is half of that."""
FASTEST_SETTLING, FASTEST_FALL = 1.02, 1 / 1.02
"""The bounds of the factor from one step to the next."""
BLIND_RISE, BLIND_FALL = 1.1, 1 / 1.02
"""The factors, above and below `TURNING`, where no judgement ever was sure of a gain: the loss of a
mini-batch is all noise then, and the step most likely too small to be seen."""


class Phase(StrEnum):
    """The phase of the rule."""

    RISING = "rising"
    SETTLING = "settling"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class PeakState:
    """The memory of the rule.

    Attributes:
        k: the number of calls of `step` so far.
        step_size: the step η before annealing, or None before the first.
        phase: the phase of the rule.
        target: the last careful argmin η*; infinite where nothing bounds it, None before.
        judgements: the number of judgements so far.
        doubts: the number of those after which no gain was beyond its error.
        seen: whether the rise ended at a target, and not for want of one.
        slope: the running mean of the near-end slope p_a.
        curvature: that of the curvature q.
        place: the number of steps since the anchor.
        window: the number of windows that have ended.
        pull: `Σ 0.8ⁱ s`, the slopes towards the anchor.
        size: `Σ 0.8ⁱ |s|`.
    """

    k: int = 0
    step_size: float | None = None
    phase: Phase = Phase.RISING
    target: float | None = None
    judgements: int = 0
    doubts: int = 0
    seen: bool = False
    slope: RunningMean = RunningMean()  # noqa: RUF009 - frozen
    curvature: RunningMean = RunningMean()  # noqa: RUF009
    place: int = 0
    window: int = 0
    pull: float = 0.0
    size: float = 0.0

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PeakState:
        """The state from the values of `as_plain`."""
        means = {name: RunningMean(**plain[name]) for name in ("slope", "curvature")}
        return cls(**{**plain, **means, "phase": Phase(plain["phase"])})

    @property
    def held(self) -> bool:
        """Whether the peak has been found."""
        return self.phase is Phase.HELD

    @property
    def persistence(self) -> float | None:
        """n, or None before the first slope."""
        return self.pull / self.size if self.size > 0 else None

    @property
    def anchor_is_due(self) -> bool:
        """Whether the next step starts from a new anchor: each step's, or each window's first."""
        return self.place == 0 and not self.held

    def with_judgement(self, judgement: Judgement) -> PeakState:
        """The state, still rising, with one more judgement of the step before.

        Between two judgements the near-end slope changes less than the curvature is known, so
        that `p_a = p_b + q̄·η` takes the mean curvature.
        """
        curvature = self.curvature.with_value(judgement.curvature, FADE_CURVATURE)
        near = judgement.slope_far + curvature.mean * judgement.step
        state = replace(
            self,
            judgements=self.judgements + 1,
            curvature=curvature,
            slope=self.slope.with_value(near, FADE_SLOPE),
            place=0,
        )
        return state._risen() if state.judgements >= FEWEST_JUDGEMENTS else state

    def with_slope(self, slope: float) -> PeakState:
        """The state, settling, with `s = ⟨∇f_k(w_k), a − w_k⟩` of one more step."""
        state = replace(
            self,
            pull=FADE_PERSISTENCE * self.pull + slope,
            size=FADE_PERSISTENCE * self.size + abs(slope),
        )
        n = state.persistence
        if n is not None and state.step_size is not None:
            state = replace(state, step_size=state.step_size * state._settling_factor(n))
        if state.place < WINDOW:
            return state
        return replace(state, place=0, window=state.window + 1)

    @property
    def untried(self) -> bool:
        """Whether no step was ever judged: η is still the user's guess."""
        return self.phase is Phase.RISING and self.judgements == 0

    def gone_back(self) -> PeakState:
        """The state, back at the anchor, after steps from it that lost the loss."""
        assert self.step_size is not None  # noqa: S101 - a step led there
        if self.untried:
            return replace(self, step_size=self.step_size / FAR_TOO_LARGE, place=0)
        return replace(self.lowered(), place=0, phase=Phase.SETTLING, seen=True)

    def lowered(self) -> PeakState:
        """The state with half the step."""
        return self if self.step_size is None else replace(self, step_size=self.step_size / 2)

    def after_step(self, total_steps: int | None) -> PeakState:
        """The state for the next step."""
        state = replace(self, k=self.k + 1, place=self.place + 1)
        late = total_steps is not None and state.k >= JUDGED_SHARE * total_steps
        return replace(state, phase=Phase.HELD) if late or state.window >= WINDOWS else state

    def _risen(self) -> PeakState:
        assert self.step_size is not None  # noqa: S101 - a step was judged
        target = confident_ratio(self.slope, self.curvature, ERRORS)
        state = replace(self, target=target, step_size=next_step(self.step_size, target))
        if target == 0:
            state = replace(state, doubts=state.doubts + 1)
        if state.step_size is not None and NEAR * target <= state.step_size and target > 0:
            return replace(state, phase=Phase.SETTLING, seen=True)
        if state.doubts >= PATIENCE or state.judgements >= LONGEST_RISE:
            return replace(state, phase=Phase.SETTLING)
        return state

    def _settling_factor(self, n: float) -> float:
        if not self.seen:
            return BLIND_RISE if n > TURNING else BLIND_FALL
        gain = GAIN / (1 + self.window / GAIN_HALVED)
        factor = math.exp(gain / WINDOW * (n - TURNING))
        return min(max(factor, FASTEST_FALL), FASTEST_SETTLING)


def next_step(step_size: float, target: float) -> float:
    """The step after η in the rise, given the careful argmin η*: up to `θ·η*`. It never falls."""
    if target == math.inf:
        return step_size * RISE_WITHOUT_TARGET
    return max(step_size, min(FASTEST_RISE * step_size, NEAR * target))
