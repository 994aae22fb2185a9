"""timm's own checkpoints, averages and parameter groups."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sls

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    timm = pytest.importorskip("timm", reason="needs the extra frameworks")
    from timm.data import Mixup
    from timm.loss import SoftTargetCrossEntropy
    from timm.models import load_checkpoint, resume_checkpoint
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay
    from timm.utils import CheckpointSaver, ModelEmaV3, random_seed

STEPS = 12


class Training:
    """A small ResNet with mixup and an average of its weights, saved and resumed by timm."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = timm.create_model("test_resnet", in_chans=1, num_classes=4, drop_rate=0.1)
        groups = param_groups_weight_decay(self.model, weight_decay=0.05)
        self.optimizer = sls.PeakSLS(groups, total_steps=STEPS, averaging=True)
        self.ema = ModelEmaV3(self.model, decay=0.9)
        self.criterion = SoftTargetCrossEntropy()
        self.mixup = Mixup(mixup_alpha=0.2, label_smoothing=0.1, num_classes=4)

    def run(self, steps: range) -> None:
        self.model.train()
        for step in steps:
            random_seed(step)
            x, y = self.mixup(torch.randn(8, 1, 16, 16), torch.arange(8) % 4)
            self.optimizer.step(lambda x=x, y=y: self.criterion(self.model(x), y))
            self.ema.update(self.model, step)

    def save(self, folder: Path) -> Path:
        saver = CheckpointSaver(
            self.model, self.optimizer, model_ema=self.ema, checkpoint_dir=str(folder)
        )
        saver.save_checkpoint(0, metric=0.0)
        return folder / "last.pth.tar"

    def load(self, path: Path) -> None:
        resume_checkpoint(self.model, str(path), self.optimizer, log_info=False)
        load_checkpoint(self.ema.module, str(path), use_ema=True)


def tensors(training: Training) -> dict[str, Tensor]:
    state = training.optimizer.state_dict()["state"]
    moments = {f"{i}.{k}": torch.as_tensor(v) for i, s in state.items() for k, v in s.items()}
    ema = {f"ema.{name}": value for name, value in training.ema.module.state_dict().items()}
    return {**training.model.state_dict(), **ema, **moments}


def test_resume_from_timms_checkpoint(tmp_path: Path) -> None:
    whole, half, resumed = Training(), Training(), Training()
    whole.run(range(STEPS))
    half.run(range(7))
    resumed.load(half.save(tmp_path))
    resumed.run(range(7, STEPS))
    one, other = tensors(whole), tensors(resumed)
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []


def test_weight_decay_is_that_of_timms_groups() -> None:
    training = Training()
    decays = {group["weight_decay"] for group in training.optimizer.param_groups}
    assert decays == {0.0, 0.05}


def test_layer_wise_decay_scales_the_steps_of_early_layers() -> None:
    model = Training().model
    groups = param_groups_layer_decay(model, weight_decay=0.0, layer_decay=0.5)
    optimizer = sls.PeakSLS(groups, total_steps=STEPS)
    before = [[p.detach().clone() for p in group["params"]] for group in optimizer.param_groups]
    x, y = torch.randn(8, 1, 16, 16), torch.arange(8) % 4
    optimizer.step(lambda: nn.functional.cross_entropy(model(x), y))
    moves = {}
    for group, old in zip(optimizer.param_groups, before, strict=True):
        pairs = zip(group["params"], old, strict=True)
        move = max(float((p.detach() - q).abs().max()) for p, q in pairs)
        moves[group["lr_scale"]] = max(move, moves.get(group["lr_scale"], 0.0))
    # Adam's first direction is the gradient's sign, so that the largest move is the step.
    assert len(moves) > 3
    assert list(moves.values()) == pytest.approx([1e-4 * scale for scale in moves], rel=1e-2)
