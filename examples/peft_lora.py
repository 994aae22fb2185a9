"""Adapt a trained network to other data by LoRA adapters and no learning rate, then merge them.

    pip install peft scikit-learn
    python examples/peft_lora.py

A second on one core, 10 to import: a network that has learned 1,797 pictures of digits, 8 × 8
points each, learns to read them upside down. A language model needs the same lines.
"""

import torch
from peft import LoraConfig, get_peft_model
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sls

EPOCHS, BATCH = 15, 64


def train(model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Train what is not frozen."""
    trained = [param for param in model.parameters() if param.requires_grad]
    order = torch.cat([torch.randperm(len(inputs)) for _ in range(EPOCHS)])
    parts = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    optimizer = sls.PeakSLS(trained, total_steps=len(parts))

    def loss_of(part: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(inputs[part]), targets[part])

    for part in parts:
        optimizer.step(lambda part=part: loss_of(part))
    count = sum(param.numel() for param in trained)
    print(f"{count} parameters, step size {optimizer.param_groups[0]['lr']:.1e}")


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """The share of pictures whose digit has the greatest output."""
    return float((model(inputs).argmax(1) == targets).float().mean())


def main() -> list[float]:
    """Accuracies upside down: before, with adapters, and with the adapters merged."""
    torch.manual_seed(0)
    data = load_digits()
    pictures = torch.tensor(data.images, dtype=torch.float32) / 16
    digits = torch.tensor(data.target)
    upright, upside_down = pictures.flatten(1), pictures.flip(1, 2).flatten(1)
    training, validation = slice(0, 1400), slice(1400, None)
    test = upside_down[validation], digits[validation]

    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    train(model, upright[training], digits[training])
    found = [accuracy(model, *test)]

    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["0", "2", "4"]))
    train(adapted, upside_down[training], digits[training])
    found.append(accuracy(adapted, *test))
    return [*found, accuracy(adapted.merge_and_unload(), *test)]


if __name__ == "__main__":
    print("upside down {:.3f}, with adapters {:.3f}, merged {:.3f}".format(*main()))
