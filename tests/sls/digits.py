"""Mini-batches of scikit-learn's digits and small networks for them, in float64.

In float32 the finite difference of `ALSALS.paper` is rounding noise, and its searches a gamble.
"""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

BATCH_SIZE = 32


@cache
def batches() -> list[tuple[Tensor, Tensor]]:
    """(pictures (32, 64) in [0, 1], labels (32,)) in the data set's own order."""
    pictures, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(pictures, dtype=torch.float64) / 16
    targets = torch.tensor(labels)
    parts = torch.split(inputs, BATCH_SIZE), torch.split(targets, BATCH_SIZE)
    return list(zip(*parts, strict=True))


def dropout_network() -> nn.Sequential:
    """64 → 32 → 10 with dropout; the same weights each time."""
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))
    torch.set_rng_state(generator_state)
    return network.double()


def batch_norm_network() -> nn.Sequential:
    """The same with BatchNorm before the dropout."""
    network = dropout_network()
    return nn.Sequential(network[0], nn.BatchNorm1d(32), *network[1:]).double()
