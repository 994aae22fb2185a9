"""A plain loop: a small network learns handwritten digits, and nobody chooses a learning rate.

python examples/plain_loop.py    # about 96 % after a few seconds
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from sls import PeakSLS


def main(epochs: int = 10) -> float:
    """Train, and return the accuracy on 360 digits that were held out."""
    torch.manual_seed(0)
    pictures, labels = load_digits(return_X_y=True)
    digits = TensorDataset(torch.tensor(pictures).float() / 16, torch.tensor(labels))
    train, held_out = random_split(digits, [0.8, 0.2])
    loader = DataLoader(train, batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss()

    optimizer = PeakSLS(model.parameters(), total_steps=len(loader) * epochs)
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            loss = optimizer.step(lambda x=inputs, y=targets: criterion(model(x), y))
        step_size = optimizer.param_groups[0]["lr"]
        print(f"epoch {epoch + 1}: loss {loss:.3f}, step size {step_size:.1e}")

    model.eval()
    inputs, targets = held_out[:]
    with torch.no_grad():
        accuracy = float((model(inputs).argmax(1) == targets).float().mean())
    print(f"accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
