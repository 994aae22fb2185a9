"""MoMo for Adam, of the package momo-opt."""

from __future__ import annotations

from typing import Any

import momo


class MomoAdam(momo.MomoAdam):
    """`momo.MomoAdam` whose state is complete.

    The peer leaves three numbers out of its `state_dict`: how many steps it took, its running mean
    of the losses and its bound below them. Without them a resumed run is another one.
    """

    def state_dict(self) -> dict[str, Any]:
        """The peer's state and, under `momo`, what it leaves out."""
        left_out = {"steps": self._number_steps, "loss_avg": self.loss_avg, "lb": self.lb}
        return {**super().state_dict(), "momo": left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a `state_dict` of this class."""
        left_out = state_dict["momo"]
        super().load_state_dict(state_dict)
        self._number_steps = left_out["steps"]
        self.loss_avg = left_out["loss_avg"]
        self.lb = left_out["lb"]
