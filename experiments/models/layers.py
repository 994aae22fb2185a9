"""BatchNorm for batches of one value per channel; widths that attention heads divide."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from experiments.errors import UserError


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, but a batch of one value per channel is normalised as in evaluation.

    The last batch of an epoch may be one image, and deep in a network its features may be 1×1.
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


def require_divisible(width: int, heads: int) -> None:
    """Raise `UserError` unless the attention heads share the width evenly."""
    if width % heads:
        raise UserError(f"model.heads is {heads}; it must divide model.width, {width}")
