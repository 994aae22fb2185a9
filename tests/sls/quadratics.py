"""Noisy quadratics whose best constant step can be found by trying all of them.

Mini-batch k's loss is `f_k(w) = ½ Σ a_i w_i² + ⟨ξ_k, w⟩` with ξ_k ~ N(0, σ²): the expected loss is
known, and its gradient on a mini-batch is `a·w + ξ_k`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sls import PeakSLS
from sls.peak import Phase
from tests.reference.shared import anneal_factor

Array = NDArray[np.float64]
DIMENSION = 20
STEPS = 200
ANNEAL = 0.5
DRAWS = 8
"""Draws of the noise over which a final loss is averaged."""
GRID = np.geomspace(1e-3, 2.0, 80)
"""Constant steps, a tenth apart; for SGD to be divided by the greatest a_i."""
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class NoisyQuadratic:
    """One such problem, of 200 steps.

    Attributes:
        seed: of the start, w_i ~ N(0, 1), and of all noise.
        condition: a_i from 1 to this, evenly spaced in the logarithm.
        noise: σ.
        direction: "adam", or "sgd" with momentum 0.9.
    """

    seed: int
    condition: float
    noise: float
    direction: Literal["adam", "sgd"]

    @property
    def scales(self) -> Array:
        return np.geomspace(1, self.condition, DIMENSION)

    @property
    def start(self) -> Array:
        return np.random.default_rng(self.seed).standard_normal(DIMENSION)

    def noises(self, draw: int) -> Array:
        """ξ of all steps."""
        generator = np.random.default_rng([self.seed, draw])
        return self.noise * generator.standard_normal((STEPS, DIMENSION))

    def loss(self, w: Array) -> Array:
        """The expected loss."""
        return 0.5 * np.sum(self.scales * w**2, axis=-1)

    @cached_property
    def steps(self) -> Array:
        """The constant steps to try."""
        return GRID if self.direction == "adam" else GRID / self.condition

    @cached_property
    def final_losses(self) -> Array:
        """The mean final loss of each constant step, annealed, by the textbook's equations."""
        xi = np.stack([self.noises(draw) for draw in range(DRAWS)])
        w = np.tile(self.start, (len(self.steps), DRAWS, 1))
        m, v = np.zeros_like(w), np.zeros_like(w)
        for k in range(STEPS):
            g = self.scales * w + xi[:, k]
            if self.direction == "adam":
                m = BETA1 * m + (1 - BETA1) * g
                v = BETA2 * v + (1 - BETA2) * g**2
                d = m / (1 - BETA1 ** (k + 1)) / (np.sqrt(v / (1 - BETA2 ** (k + 1))) + EPS)
            else:
                m = BETA1 * m + g
                d = m
            with np.errstate(over="ignore", invalid="ignore"):
                w = w - anneal_factor(k, STEPS, ANNEAL) * self.steps[:, None, None] * d
        with np.errstate(over="ignore", invalid="ignore"):
            losses = self.loss(w).mean(axis=1)
        return np.nan_to_num(losses, nan=np.inf, posinf=np.inf)

    @property
    def best(self) -> int:
        """The index of the best constant step."""
        return int(np.argmin(self.final_losses))

    def found(self, draw: int) -> tuple[float, float]:
        """PeakSLS's step at the end of a run, before annealing, and the run's final loss."""
        return self._run(draw, lambda optimizer: None)

    def held_at(self, step: float, draw: int) -> float:
        """The final loss of the optimizer whose peak is held at this step from the start."""

        def hold(optimizer: PeakSLS) -> None:
            memory = optimizer.search_state
            peak = replace(memory.peak, step_size=step, phase=Phase.HELD)
            optimizer.remember(replace(memory, peak=peak))

        return self._run(draw, hold)[1]

    def _run(self, draw: int, prepare: Callable[[PeakSLS], None]) -> tuple[float, float]:
        w = nn.Parameter(torch.from_numpy(self.start))
        scales, xi = torch.from_numpy(self.scales), torch.from_numpy(self.noises(draw))
        optimizer = PeakSLS([w], total_steps=STEPS, anneal=ANNEAL, direction=self.direction)
        prepare(optimizer)
        for k in range(STEPS):
            optimizer.step(lambda k=k: 0.5 * (scales * w**2).sum() + xi[k] @ w)
        return optimizer.param_groups[0]["lr"], float(self.loss(w.detach().numpy()))
