"""When a trial step is accepted. No torch.

Notation: `p = ⟨g, d⟩` is the slope, `Δ(η) = f(w) − f(w − η·d)` the decrease of a trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Memory:
    """What a condition remembers from step to step: running means h and s, 0 where unused."""

    h: float = 0.0
    s: float = 0.0


class Condition(Protocol):
    """Judges a trial by its step and its decrease."""

    def holds(self, step_size: float, decrease: float) -> bool:
        """Whether the trial is accepted."""
        ...

    def largest_loss(self, step_size: float, loss: float) -> float:
        """The largest loss after the step that is accepted, with `loss` before it."""
        ...

    def memory_after(self, step_size: float, decrease: float) -> Memory:
        """What to remember once the trial with this step and decrease is kept."""
        ...


@dataclass(frozen=True, slots=True)
class Armijo:
    """`Δ(η) ≥ c·η·p`: the loss falls by at least the share c of what the slope promises.

    Source: Armijo (1966); for mini-batches Vaswani et al. (2019), arXiv 1905.09997.
    """

    c: float
    slope: float

    def holds(self, step_size: float, decrease: float) -> bool:
        """Whether the decrease is large enough."""
        return decrease >= self.c * step_size * self.slope

    def largest_loss(self, step_size: float, loss: float) -> float:
        """Armijo's line `f(w) − c·η·p`."""
        return loss - self.c * step_size * self.slope

    def memory_after(self, step_size: float, decrease: float) -> Memory:
        """Nothing."""
        return Memory()


@dataclass(frozen=True, slots=True)
class SmoothedArmijo:
    """`β₃·h + (1−β₃)·Δ(η) ≥ c'·η·s`, with running means h of the decrease and s of the slope.

    `c' = c` where `s > 0` and `1/c` where not: a direction with momentum need not descend, and
    then the loss may only rise by a bounded amount.

    Source: Kenneweg et al. (2024), arXiv 2403.18519.

    Attributes:
        c: the share, in (0, 1).
        beta3: the factor `β₃` of both means.
        h: the running mean of the decreases of earlier steps.
        s: the running mean of the slopes, this step's included.
    """

    c: float
    beta3: float
    h: float
    s: float

    @classmethod
    def with_slope(cls, c: float, beta3: float, memory: Memory, slope: float) -> SmoothedArmijo:
        """The condition of a step with this slope, which enters the mean s at once."""
        return cls(c, beta3, memory.h, running_mean(memory.s, slope, beta3))

    def holds(self, step_size: float, decrease: float) -> bool:
        """Whether the smoothed decrease is large enough."""
        smoothed = running_mean(self.h, decrease, self.beta3)
        return smoothed >= self._share() * step_size * self.s

    def largest_loss(self, step_size: float, loss: float) -> float:
        """The line `f(w) + (β₃·h − c'·η·s)/(1−β₃)`; the first trials of a run move it far up."""
        wanted = self._share() * step_size * self.s
        return loss + (self.beta3 * self.h - wanted) / (1 - self.beta3)

    def memory_after(self, step_size: float, decrease: float) -> Memory:
        """Both means; h with the decrease of the trial that is kept."""
        return Memory(running_mean(self.h, decrease, self.beta3), self.s)

    def _share(self) -> float:
        """The c' of the condition."""
        return self.c if self.s > 0 else 1 / self.c


@dataclass(frozen=True, slots=True)
class RatioArmijo:
    """`h_try/s_try ≥ c`, written `h_try ≥ c·s_try`: means of decreases made and promised.

    `h_try = β₃·h + (1−β₃)·Δ(η)` and `s_try = β₃·s + (1−β₃)·η·p`: unlike in `SmoothedArmijo` each
    step enters s with its own η, so that a step of the past that made the share c of what it
    promised pays for nothing later, however large its slope was. Both means start at 0 without
    bias correction, which would cancel. A step along a direction that does not descend promises
    a rise, and is paid for by the steps before it.

    Source: this project's; the paper's smoothing (Kenneweg et al. 2024, arXiv 2403.18519)
    without its windfall.

    Attributes:
        c: the share, in (0, 1).
        beta3: the factor `β₃` of both means.
        h: the running mean of the decreases of earlier steps.
        s: the running mean of what their slopes promised, `η·p`.
        slope: this step's slope p.
    """

    c: float
    beta3: float
    h: float
    s: float
    slope: float

    def holds(self, step_size: float, decrease: float) -> bool:
        """Whether the mean decrease is large enough."""
        smoothed = running_mean(self.h, decrease, self.beta3)
        return smoothed >= self.c * self._promised(step_size)

    def largest_loss(self, step_size: float, loss: float) -> float:
        """The line `f(w) + β₃·(h − c·s)/(1−β₃) − c·η·p`: Armijo's, moved up by the balance."""
        balance = self.h - self.c * self.s
        asked = self.c * step_size * self.slope
        return loss + self.beta3 * balance / (1 - self.beta3) - asked

    def memory_after(self, step_size: float, decrease: float) -> Memory:
        """Both means, with the decrease and the promise of the trial that is kept."""
        return Memory(running_mean(self.h, decrease, self.beta3), self._promised(step_size))

    def _promised(self, step_size: float) -> float:
        """The mean s_try."""
        return running_mean(self.s, step_size * self.slope, self.beta3)


def running_mean(mean: float, value: float, beta: float) -> float:
    """`β·mean + (1−β)·value`, without bias correction."""
    return beta * mean + (1 - beta) * value


def rounding(loss: float, loss_next: float, eps: float) -> float:
    """The part of a decrease that may be rounding: `ε·(|f(w)| + |f(w − η·d)|)`.

    Each loss is known to one unit in its last place at best, ε being the precision of the
    losses' type. Near convergence the decrease that a condition asks for drowns in this.
    """
    return eps * (abs(loss) + abs(loss_next))
