"""A checkpoint is believed only if it is whole and says what can be; else nothing is touched."""

from __future__ import annotations

import math
import os
import random

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.optimizers.build import build_optimizer
from experiments.optimizers.sls_optimizers import ALSALS, PeakSLS
from experiments.optimizers.torch_optimizers import Adam
from experiments.training.checkpoint import (
    Parts,
    Progress,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from experiments.training.closure import Passes

STEPS = 4
SPECS = {
    "adam": Adam(lr=0.1),
    "alsals": ALSALS(),
    "peak_sls": PeakSLS(length_known=False),
}
ALL = tuple(SPECS)


def make_parts(spec, model=None):
    model = nn.Linear(4, 3) if model is None else model
    optimizer, scheduler = build_optimizer(
        SPECS[spec], model.parameters(), total_steps=50, steps_per_epoch=10
    )
    return Parts(model, optimizer, scheduler, torch.device("cpu"))


def train(parts):
    torch.manual_seed(0)

    def closure():
        loss = parts.model(torch.ones(8, 4)).square().mean()
        if torch.is_grad_enabled():
            parts.optimizer.zero_grad()
            loss.backward()
        return loss.detach()

    for _ in range(STEPS):
        parts.optimizer.step(closure)
        if parts.scheduler is not None:
            parts.scheduler.step()


@pytest.fixture
def saved(tmp_path):
    """Makes the folder of a run of this optimizer that was stopped after four steps."""

    def save(spec):
        folder, parts = RunFolder(tmp_path), make_parts(spec)
        train(parts)
        folder.append_row({"event": "step", "step": STEPS})
        best = {"step": 3, "train_loss": 1.0, "val_loss": math.nan, "accuracy": 0.5}
        save_best(folder, parts.model)
        save_checkpoint(
            folder, parts, Progress(STEPS, 1.5, Passes(9, 4), 0.1, 7.0, 0, 3, best, best)
        )
        folder.append_row({"event": "step", "step": STEPS + 1})
        return folder

    return save


def files(folder):
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def require_refused(folder, spec, words=r"checkpoint\.pt does not load"):
    before = files(folder)
    with pytest.raises(UserError, match=words) as raised:
        load_checkpoint(folder, make_parts(spec), total_steps=50)
    assert "\n" not in str(raised.value)
    assert str(folder.path) in str(raised.value)
    assert files(folder) == before, "a refused checkpoint has cost something"


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt"])
def test_every_flipped_bit_is_noticed(saved, name):
    folder = saved("alsals")
    file, seed = folder.path / name, random.randrange(10**6)
    chance, whole = random.Random(seed), file.read_bytes()
    # The last bytes are the checksum's own and what zip says of it.
    places = [chance.randrange(len(whole)) for _ in range(16)]
    for place in [*places, *range(len(whole) - 24, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        try:
            require_refused(folder, "alsals", rf"{name} does not load")
        except BaseException as error:
            error.add_note(f"seed {seed}, byte {place} of {len(whole)}")
            raise


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b[:-18], lambda b: b + b"\0", lambda b: b + b, lambda b: b"{}"],
    ids=["last byte", "checksum", "a byte more", "twice", "json"],
)
@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt"])
def test_a_file_of_another_length_is_refused(saved, name, damage):
    folder = saved("adam")
    (folder.path / name).write_bytes(damage((folder.path / name).read_bytes()))
    require_refused(folder, "adam", rf"{name} does not load")


def rewrite(folder, change):
    """As somebody else, or an earlier version, writes it: without a checksum."""
    state = torch.load(folder.checkpoint_file, weights_only=True)
    replaced = change(state)
    torch.save(state if replaced is None else replaced, folder.checkpoint_file)


@pytest.mark.parametrize("spec", ALL)
def test_a_checkpoint_of_the_version_before_loads(saved, spec):
    folder = saved(spec)
    sealed, plain = make_parts(spec), make_parts(spec)
    expected = load_checkpoint(folder, sealed)

    def as_before(state):
        del state["progress"]["seconds_evaluation"]

    rewrite(folder, as_before)
    assert repr(load_checkpoint(folder, plain)) == repr(expected)
    train(sealed)
    train(plain)
    assert torch.equal(sealed.model.weight, plain.model.weight)


def test_a_flipped_bit_of_a_tensor_is_noticed_without_a_checksum_too(saved):
    folder = saved("adam")
    rewrite(folder, lambda state: None)
    whole = folder.checkpoint_file.read_bytes()
    weights = torch.load(folder.checkpoint_file, weights_only=True)["model"]["weight"]
    place = whole.index(weights.numpy().tobytes())
    folder.checkpoint_file.write_bytes(
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    )
    require_refused(folder, "adam", "it is damaged")


def at(*path):
    """Sets what lies at this path to a value."""

    def setter(value):
        def change(state):
            for key in path[:-1]:
                state = state[key]
            state[path[-1]] = value

        return change

    return setter


def without(*path):
    def change(state):
        for key in path[:-1]:
            state = state[key]
        del state[path[-1]]

    return change


step, group = at("progress", "step"), ("optimizer", "param_groups", 0)
memory = (*group, "search_state")
peak = (*memory, "peak")
EDITS = [
    (ALL, lambda state: [], ""),
    (ALL, lambda state: state["model"], "format"),
    (ALL, at("format")(2), "format"),
    (ALL, at("metrics_length")(-1), "metrics_length"),
    (ALL, at("metrics_length")(1.5), "metrics_length"),
    (ALL, step(-5), "progress.step"),
    (ALL, step("4"), "progress.step"),
    (ALL, step(True), "progress.step"),
    (ALL, step(51), "step 51 of 50"),
    (ALL, step(2), "more steps"),
    (ALL, at("progress", "passes", "forward")(-1), "passes.forward"),
    (ALL, at("progress", "seconds")(math.nan), "seconds"),
    (ALL, at("progress", "weight_sum")(-1.0), "weight_sum"),
    (ALL, at("progress", "loss_sum")("0.1"), "loss_sum"),
    (ALL, at("progress", "final")({"step": 4}), "final"),
    (ALL, at("progress", "best", "accuracy")("high"), "best.accuracy"),
    (ALL, at("progress", "evaluated_step")(5), "more steps"),
    (ALL, without("progress"), "progress"),
    (ALL, without("random"), "random"),
    (ALL, at("random")({"cpu": torch.zeros(3, dtype=torch.uint8)}), ""),
    (ALL, at("random")({}), ""),
    (ALL, without("model", "bias"), "bias"),
    (ALL, at("model", "weight")(torch.zeros(3, 5)), "weight"),
    (ALL, at("model", "weight")(torch.zeros(3, 4, dtype=torch.int64)), "weight"),
    (ALL, at("model", "weight")(None), "weight"),
    (ALL, at("model", "new")(torch.zeros(1)), "new"),
    (ALL, at(*group, "lr")(math.nan), "lr"),
    (ALL, at(*group, "lr")(-1.0), "lr"),
    (ALL, at(*group, "lr")("0.1"), "lr"),
    (ALL, at(*group, "betas")((0.9, "x")), "betas"),
    (ALL, at(*group, "eps")(math.nan), "eps"),
    (ALL, without("optimizer", "param_groups"), "optimizer"),
    (ALL, at("optimizer", "param_groups")([]), "groups"),
    (ALL, at("optimizer", "state")([]), "optimizer"),
    (ALL, at("optimizer", "state", 9)({}), "parameters"),
    (ALL, at("optimizer", "state", 0, "exp_avg")(torch.zeros(4, 4)), "exp_avg"),
    (("adam",), at("optimizer", "state", 0, "step")(torch.tensor(-5.0)), "step"),
    (("adam",), at("scheduler", "last_epoch")(-3), "scheduler"),
    (("adam",), at("scheduler", "base_lrs")([1.0]), "base_lrs"),
    (("adam",), at("scheduler")(None), "schedule"),
    (("alsals",), at("scheduler")({"last_epoch": 4}), "schedule"),
    (("alsals",), at(*memory, "step_size")(math.nan), "step_size"),
    (("alsals",), at(*memory, "step_size")(-0.1), "step_size"),
    (("alsals",), at(*memory, "step_size")("0.1"), "step_size"),
    (("alsals",), at(*memory, "h")(math.nan), "h is nan"),
    (("alsals",), at(*memory, "k")(-1), "k is -1"),
    (("alsals",), at(*memory, "k")(1.5), "k is 1.5"),
    (("alsals",), at(*memory, "wrong")(1), "search_state"),
    (("alsals", "peak_sls"), at(*memory)(3), "search_state"),
    (("alsals", "peak_sls"), without(*memory), ""),
    (("peak_sls",), at(*peak, "step_size")(math.inf), "step_size"),
    (("peak_sls",), at(*peak, "step_size")(math.nan), "step_size"),
    (("peak_sls",), at(*peak, "phase")("asleep"), "asleep"),
    (("peak_sls",), at(*memory, "last_taken")(math.nan), "last_taken"),
    (("peak_sls",), without(*peak, "slope"), ""),
]
CASES = [(spec, edit, words) for specs, edit, words in EDITS for spec in specs]


@pytest.mark.parametrize(("spec", "edit", "words"), CASES, ids=map(str, range(len(CASES))))
def test_what_cannot_be_is_refused(saved, spec, edit, words):
    folder = saved(spec)
    rewrite(folder, edit)
    require_refused(folder, spec, rf"checkpoint\.pt does not load .*{words}")


def test_a_run_that_is_lost_may_have_a_rate_that_is(saved):
    folder = saved("adam")

    def lost(state):
        state["progress"]["non_finite_steps"] = 2
        state["optimizer"]["param_groups"][0]["lr"] = math.inf

    rewrite(folder, lost)
    assert load_checkpoint(folder, make_parts("adam")).non_finite_steps == 2


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused(saved, name, make):
    folder = saved("adam")
    (folder.path / name).unlink()
    make(folder.path / name)
    require_refused(folder, "adam", rf"{name} does not load \(it is not a file\)")


def test_the_best_model_of_another_run_is_refused(saved):
    folder = saved("adam")
    save_best(folder, nn.Linear(4, 2))
    require_refused(folder, "adam", r"best\.pt does not load \(it is of another model.*delete it")


def test_a_best_model_that_was_deleted_is_not_missed(saved):
    folder = saved("adam")
    folder.best_file.unlink()
    assert load_checkpoint(folder, make_parts("adam")).step == STEPS


def test_what_runs_code_is_refused_without_advice_to_run_it(saved):
    folder = saved("adam")
    torch.save(make_parts("adam"), folder.checkpoint_file)
    with pytest.raises(UserError) as raised:
        load_checkpoint(folder, make_parts("adam"))
    assert "weights_only" not in str(raised.value)
    assert "more than tensors and plain values" in str(raised.value)
