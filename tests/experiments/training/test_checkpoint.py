"""Checkpoints hold everything, and refuse what they cannot restore."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.optimizers.build import build_optimizer
from experiments.optimizers.sls_optimizers import ALSALS
from experiments.optimizers.torch_optimizers import SGD, Adam
from experiments.training.checkpoint import (
    Parts,
    Progress,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from experiments.training.closure import Passes
from tests.experiments.training.tiny import Net


def make_parts(model=None, spec=None):
    model = Net() if model is None else model
    spec = Adam(lr=0.1) if spec is None else spec
    optimizer, scheduler = build_optimizer(
        spec, model.parameters(), total_steps=50, steps_per_epoch=10
    )
    return Parts(model, optimizer, scheduler, torch.device("cpu"))


def train(parts, steps):
    for _ in range(steps):
        parts.optimizer.zero_grad()
        parts.model(torch.randn(8, 64)).square().mean().backward()
        parts.optimizer.step()
        parts.scheduler.step()


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def test_training_goes_on_from_a_checkpoint_bit_for_bit(folder):
    parts = make_parts()
    train(parts, 5)
    best = {"step": 4, "train_loss": float("nan"), "val_loss": 0.5}
    progress = Progress(5, 1.5, Passes(9, 5), 0.1, 7.0, 2, 4, final=best, best=best)
    save_checkpoint(folder, parts, progress)
    train(parts, 5)

    again = make_parts()
    found = load_checkpoint(folder, again)
    assert repr(found) == repr(progress)
    train(again, 5)
    for (name, one), other in zip(
        parts.model.state_dict().items(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    assert again.optimizer.param_groups[0]["lr"] == parts.optimizer.param_groups[0]["lr"]


def test_metrics_after_the_checkpoint_are_cut_off(folder):
    folder.append_row({"step": 1})
    save_checkpoint(folder, make_parts(), Progress())
    folder.append_row({"step": 2})
    load_checkpoint(folder, make_parts())
    assert folder.rows() == [{"step": 1}]


def test_without_a_checkpoint_the_run_starts_anew(folder):
    folder.append_row({"step": 1})
    assert load_checkpoint(folder, make_parts()) == Progress()
    assert folder.rows() == []


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_a_user_error_that_says_what_to_do(folder, kept):
    save_checkpoint(folder, make_parts(), Progress())
    content = folder.checkpoint_file.read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(content))
    folder.checkpoint_file.write_bytes(content[:length])
    with pytest.raises(UserError, match=r"checkpoint\.pt does not load.*delete"):
        load_checkpoint(folder, make_parts())


@pytest.mark.parametrize(
    "other",
    [
        lambda: make_parts(model=nn.Linear(64, 3)),
        lambda: make_parts(spec=SGD(lr=0.1, schedule="constant", warmup=0)),
        lambda: make_parts(spec=ALSALS()),
    ],
    ids=["model", "schedule", "optimizer"],
)
def test_the_checkpoint_of_something_else_is_a_user_error(folder, other):
    save_checkpoint(folder, make_parts(), Progress())
    with pytest.raises(UserError, match=r"checkpoint\.pt does not load"):
        load_checkpoint(folder, other())


class Malicious:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_a_checkpoint_cannot_run_code(folder, capsys):
    folder.checkpoint_file.write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(UserError, match="does not load"):
        load_checkpoint(folder, make_parts())
    torch.save(Malicious(), folder.checkpoint_file)
    with pytest.raises(UserError, match="does not load"):
        load_checkpoint(folder, make_parts())
    assert "ran" not in capsys.readouterr().out


def test_the_best_model_is_parameters_and_buffers_only(folder):
    model = Net()
    save_best(folder, model)
    twin = Net()
    twin.load_state_dict(torch.load(folder.best_file, weights_only=True))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True)
    )
