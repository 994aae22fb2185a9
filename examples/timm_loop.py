"""timm: a small ResNet with mixup, label smoothing and an average of the weights (EMA).

    python examples/timm_loop.py    # about 98 % after ten seconds

mixup draws its random numbers before the closure, so that all evaluations of a step see the same
batch. The EMA is updated after the step. Both are saved and loaded as with any optimizer.
"""

from __future__ import annotations

import timm
import torch
from sklearn.datasets import load_digits
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

from sls import PeakSLS


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy of the averaged weights on 360 held-out digits."""
    timm.utils.random_seed(0)
    pictures, labels = load_digits(return_X_y=True)
    inputs = interpolate(torch.tensor(pictures).float().view(-1, 1, 8, 8) / 16, size=32)
    train, held_out = random_split(TensorDataset(inputs, torch.tensor(labels)), [0.8, 0.2])
    loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)  # mixup wants pairs
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    ema = ModelEmaV3(model, decay=0.99, use_warmup=True)
    mixup = Mixup(mixup_alpha=0.2, label_smoothing=0.1, num_classes=10)
    criterion = SoftTargetCrossEntropy()

    optimizer = PeakSLS(model.parameters(), total_steps=len(loader) * epochs, weight_decay=0.05)
    step = 0
    for epoch in range(epochs):
        model.train()
        for batch in loader:
            pictures, targets = mixup(*batch)
            loss = optimizer.step(lambda x=pictures, y=targets: criterion(model(x), y))
            step += 1
            ema.update(model, step)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {accuracy(ema.module, held_out):.1%}")
    return accuracy(ema.module, held_out)


@torch.no_grad()
def accuracy(model: torch.nn.Module, held_out: Subset[tuple[Tensor, ...]]) -> float:
    """The share of digits that the model recognizes."""
    inputs, targets = held_out[:]
    return float((model.eval()(inputs).argmax(1) == targets).float().mean())


if __name__ == "__main__":
    main()
