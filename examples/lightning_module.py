"""Lightning: the Trainer's own loop, with logging, a metric, clipping and accumulated batches.

    python examples/lightning_module.py    # about 96 % after a few seconds

What differs from a module with AdamW are the mixin in the bases and `configure_optimizers`.
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import Accuracy

from sls import PeakSLS
from sls.integrations.lightning import LineSearchModule


class Digits(LineSearchModule, lightning.LightningModule):
    """A classifier of handwritten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
        self.seen = Accuracy("multiclass", num_classes=10)
        self.held_out = Accuracy("multiclass", num_classes=10)

    def configure_optimizers(self) -> PeakSLS:
        """The optimizer, which needs the length of the run alone."""
        steps = int(self.trainer.estimated_stepping_batches)
        return PeakSLS(self.parameters(), total_steps=steps)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch; what is logged here is logged once."""
        inputs, targets = batch
        logits = self.net(inputs)
        loss = cross_entropy(logits, targets)
        self.seen(logits, targets)
        self.log("loss", loss)
        self.log("accuracy", self.seen, on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step size; hooks that the mixin has, too, call its."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        self.log("step_size", self.optimizers().param_groups[0]["lr"])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The accuracy on held-out digits."""
        self.held_out(self.net(batch[0]), batch[1])
        self.log("val_accuracy", self.held_out)


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on 360 digits that were held out."""
    lightning.seed_everything(0, verbose=False)
    pictures, labels = load_digits(return_X_y=True)
    digits = TensorDataset(torch.tensor(pictures).float() / 16, torch.tensor(labels))
    train, held_out = random_split(digits, [0.8, 0.2])
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(train, batch_size=16, shuffle=True)
    trainer.fit(Digits(), loader, DataLoader(held_out, batch_size=360))
    for name, value in sorted(trainer.callback_metrics.items()):
        print(f"{name} {value:.4f}")
    return float(trainer.callback_metrics["val_accuracy"])


if __name__ == "__main__":
    main()
