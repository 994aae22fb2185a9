"""BatchNorm that also trains on a batch with a single value a channel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, but a batch of one value a channel is normalised as in evaluation.

    The last batch of an epoch may be one picture, and deep in a network its features may be 1×1.
    Such a batch has no variance: torch refuses it, and its own kernel would make the running
    variance NaN. The running statistics normalise it instead, and stay as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Float N×channels×H×W → the same shape."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        normalised: Tensor = super().forward(input)
        return normalised
