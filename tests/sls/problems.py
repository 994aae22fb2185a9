"""Small mini-batch problems in float64, as torch modules and as plain functions of a vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N_BATCHES = 8
BATCH_SIZE = 16


class Rosenbrock(nn.Module):
    """The banana valley; every mini-batch moves its minimum a little."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def forward(self, k: int) -> Tensor:
        x, y = self.w
        shift = 0.1 * np.sin(k % N_BATCHES)
        return (1 + shift - x) ** 2 + 10 * (y - x**2) ** 2


class NoisyQuadratic(nn.Module):
    """An ill-conditioned quadratic whose minimum differs from mini-batch to mini-batch."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.scales = torch.logspace(-2, 1, 6, dtype=torch.float64)
        self.minima = torch.randn(N_BATCHES, 6, generator=generator, dtype=torch.float64)
        self.w = nn.Parameter(torch.full((6,), 3.0, dtype=torch.float64))

    def forward(self, k: int) -> Tensor:
        return (self.scales * (self.w - 0.3 * self.minima[k % N_BATCHES]) ** 2).sum()


class SmallNetwork(nn.Module):
    """Two tanh layers on made-up classes; several parameters of several shapes."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        inputs = torch.randn(N_BATCHES * BATCH_SIZE, 5, generator=generator, dtype=torch.float64)
        self.inputs = inputs.split(BATCH_SIZE)
        self.targets = (inputs[:, 0] * inputs[:, 1] > 0).long().split(BATCH_SIZE)
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).double()

    def forward(self, k: int) -> Tensor:
        i = k % N_BATCHES
        return nn.functional.cross_entropy(self.layers(self.inputs[i]), self.targets[i])


PROBLEMS: dict[str, Callable[[], nn.Module]] = {
    "rosenbrock": Rosenbrock,
    "quadratic": NoisyQuadratic,
    "network": SmallNetwork,
}

Vector = NDArray[np.float64]


@dataclass
class PlainProblem:
    """The same problem as functions of one flat vector, for the reference twins."""

    module: nn.Module

    def start(self) -> Vector:
        return vector_of(self.module)

    def loss(self, k: int, w: Vector) -> float:
        with torch.no_grad():
            self._write(w)
            return float(self.module(k))

    def gradient(self, k: int, w: Vector) -> Vector:
        self._write(w)
        gradients = torch.autograd.grad(self.module(k), list(self.module.parameters()))
        return torch.cat([g.reshape(-1) for g in gradients]).numpy()

    def _write(self, w: Vector) -> None:
        vector = torch.from_numpy(np.array(w))
        torch.nn.utils.vector_to_parameters(vector, self.module.parameters())


def vector_of(module: nn.Module) -> Vector:
    """All parameters as one copied vector."""
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy().copy()
