"""Conditions: when a trial step is accepted. No torch.

Notation: `p = ⟨g, d⟩` is the slope, `Δ(η) = f(w) − f(w − η·d)` the decrease of a trial.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Memory:
    """The numbers that a condition remembers from step to step; saved with the optimizer's state.

    Both are 0 before the first step, and again after a search that failed.

    Attributes:
        h: for the smoothed conditions, the running mean of the decreases.
        s: for the smoothed conditions, the running mean of the slopes, or of η·p.
    """

    h: float = 0.0
    s: float = 0.0


class Condition(Protocol):
    """The condition under which a trial with step η is accepted: `Δ(η) ≥ least_decrease(η)`.

    A condition of your own derives from this class and defines `least_decrease`; the other
    methods have defaults. Its constants are its own attributes, its memory is a `Memory`: a
    condition does not change, since one object serves all steps.

    Examples:
        Accept every trial that does not raise the loss:

        >>> from sls import Condition
        >>> class NoRise(Condition):
        ...     def least_decrease(self, step_size, slope, memory):
        ...         return 0.0
        >>> NoRise().holds(step_size=0.1, decrease=0.5, slope=2.0, memory=None)
        True
    """

    @abstractmethod
    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        """The least decrease of the loss that is accepted.

        Args:
            step_size: η of the trial.
            slope: p, the decrease per unit step that a linear model of the loss predicts.
            memory: what `memory_after` returned in the last accepted step.
        """

    def holds(self, step_size: float, decrease: float, slope: float, memory: Memory) -> bool:
        """Whether a trial with this decrease is accepted; called with finite numbers only."""
        return decrease >= self.least_decrease(step_size, slope, memory)

    def memory_after(
        self, step_size: float, decrease: float, slope: float, memory: Memory
    ) -> Memory:
        """The memory after the trial with this step and decrease is kept."""
        return memory


@dataclass(frozen=True, slots=True)
class Armijo(Condition):
    """Armijo's condition `Δ(η) ≥ c·η·p`: the share c of the decrease that the slope predicts.

    Source: Armijo (1966); for mini-batches Vaswani et al. (2019), arXiv 1905.09997.

    Attributes:
        c: the share, in (0, 1).
    """

    c: float

    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        """`c·η·p`."""
        return self.c * step_size * slope


@dataclass(frozen=True, slots=True)
class SmoothedArmijo(Condition):
    """`β₃·h + (1−β₃)·Δ(η) ≥ c'·η·s`, with running means h of the decrease and s of the slope.

    `s ← β₃·s + (1−β₃)·p` before the search. `c' = c` where `s > 0` and `1/c` where not: a
    direction with momentum need not descend, and then the loss may only rise by a bounded amount.

    Source: Kenneweg et al. (2024), arXiv 2403.18519.

    Attributes:
        c: the share, in (0, 1).
        beta3: the factor `β₃` of both means, in [0, 1).
    """

    c: float
    beta3: float

    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        """`(c'·η·s − β₃·h)/(1−β₃)`; in the first steps of a run far below 0."""
        wanted = self._wanted(step_size, slope, memory)
        return (wanted - self.beta3 * memory.h) / (1 - self.beta3)

    def holds(self, step_size: float, decrease: float, slope: float, memory: Memory) -> bool:
        """The condition as published; it rounds otherwise than `least_decrease`."""
        smoothed = running_mean(memory.h, decrease, self.beta3)
        return smoothed >= self._wanted(step_size, slope, memory)

    def memory_after(
        self, step_size: float, decrease: float, slope: float, memory: Memory
    ) -> Memory:
        """Both means, with the decrease of the trial that is kept and the step's slope."""
        return Memory(
            running_mean(memory.h, decrease, self.beta3), running_mean(memory.s, slope, self.beta3)
        )

    def _wanted(self, step_size: float, slope: float, memory: Memory) -> float:
        s = running_mean(memory.s, slope, self.beta3)
        return (self.c if s > 0 else 1 / self.c) * step_size * s


@dataclass(frozen=True, slots=True)
class RatioArmijo(Condition):
    """`h_try/s_try ≥ c`, written `h_try ≥ c·s_try`: means of decreases made and promised.

    `h_try = β₃·h + (1−β₃)·Δ(η)` and `s_try = β₃·s + (1−β₃)·η·p`: unlike in `SmoothedArmijo` each
    step enters s with its own η, so that a step of the past that made the share c of what it
    promised pays for nothing later, however large its slope was. Both means start at 0 without
    bias correction, which would cancel. A step along a direction that does not descend promises
    a rise, and is paid for by the steps before it.

    Source: this project; the paper's smoothing (Kenneweg et al. 2024, arXiv 2403.18519) without
    its windfall.

    Attributes:
        c: the share, in (0, 1).
        beta3: the factor `β₃` of both means, in [0, 1).
    """

    c: float
    beta3: float

    def least_decrease(self, step_size: float, slope: float, memory: Memory) -> float:
        """`c·η·p − β₃·(h − c·s)/(1−β₃)`: Armijo's, less the balance of the steps before."""
        balance = memory.h - self.c * memory.s
        return self.c * step_size * slope - self.beta3 * balance / (1 - self.beta3)

    def holds(self, step_size: float, decrease: float, slope: float, memory: Memory) -> bool:
        """The condition as written above; it rounds otherwise than `least_decrease`."""
        after = self.memory_after(step_size, decrease, slope, memory)
        return after.h >= self.c * after.s

    def memory_after(
        self, step_size: float, decrease: float, slope: float, memory: Memory
    ) -> Memory:
        """Both means, with the decrease and the promise of the trial that is kept."""
        return Memory(
            running_mean(memory.h, decrease, self.beta3),
            running_mean(memory.s, step_size * slope, self.beta3),
        )


def running_mean(mean: float, value: float, beta: float) -> float:
    """`β·mean + (1−β)·value`, without bias correction."""
    return beta * mean + (1 - beta) * value


def rounding(loss: float, loss_next: float, eps: float) -> float:
    """The part of a decrease that may be rounding: `ε·(|f(w)| + |f(w − η·d)|)`.

    Each loss is known to one unit in its last place at best, ε being the precision of the
    losses' type. Near convergence the least decrease of a condition drowns in this.
    """
    return eps * (abs(loss) + abs(loss_next))
