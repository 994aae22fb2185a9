"""Prodigy, of the package prodigyopt."""

from __future__ import annotations

import prodigyopt

from experiments.optimizers.peers.adapted_rate import AdaptedRate


class Prodigy(AdaptedRate, prodigyopt.Prodigy):
    """`prodigyopt.Prodigy` that says which rate it took."""
