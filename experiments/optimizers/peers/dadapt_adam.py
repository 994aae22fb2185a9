"""D-Adaptation for Adam, of the package dadaptation."""

from __future__ import annotations

import dadaptation

from experiments.optimizers.peers.adapted_rate import AdaptedRate


class DAdaptAdam(AdaptedRate, dadaptation.DAdaptAdam):
    """`dadaptation.DAdaptAdam` that says which rate it took."""
