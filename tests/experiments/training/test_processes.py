"""Parts of batches, devices and errors of several processes, without starting any."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.cli.parser import guarded
from experiments.cli.sweep import sweep_text
from experiments.errors import BusyError, SaidElsewhereError, UserError
from experiments.stopping import Stopped
from experiments.torchrun import Place, first_speaks, place
from experiments.training.batches import (
    Part,
    epoch_order,
    evaluation_batches,
    number_of_batches,
    training_batches,
)
from experiments.training.processes import exit_code, in_turn, own_device
from tests.experiments.training.tiny import Digits

ENVIRONMENT = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def second_of_two(monkeypatch):
    """By its environment this process is the second of two that torchrun has started."""
    for name, value in {**ENVIRONMENT, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)


# ------------------------------------------------------------------------------ parts of batches


@given(st.integers(1, 100), st.integers(1, 9))
def test_the_parts_of_a_batch_are_the_batch_in_its_order(examples, count):
    indices = torch.randperm(examples)
    parts = [Part(rank, count) for rank in range(count)]
    joined = [part.of(indices) for part in parts if not part.is_empty(examples)]
    assert torch.equal(torch.cat(joined), indices)
    sizes = [len(part) for part in joined]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 8), st.integers(1, 9))
def test_a_process_without_examples_gets_one_to_compute(examples, count):
    for rank in range(count):
        part = Part(rank, count)
        assert len(part.of(torch.arange(examples))) >= 1
        assert part.is_empty(examples) == (rank >= examples)


def test_the_processes_share_the_batches_of_a_single_one():
    source = Digits((0,))
    order = epoch_order(len(source), seed=3, epoch=0)
    batches = [
        training_batches(source, seed=3, batch_size=50, part=Part(rank, 3)) for rank in range(3)
    ]
    for indices in order.split(50):
        labels = torch.cat([next(part)["labels"] for part in batches])
        assert torch.equal(labels[: len(indices)], source.labels[indices])


@pytest.mark.parametrize("count", [2, 3, 7])
def test_evaluation_batches_are_taken_in_turn_and_as_often_by_all(count):
    source = Digits((1,))
    whole = [batch["labels"].tolist() for batch in evaluation_batches(source, batch_size=100)]
    shares = [
        list(evaluation_batches(source, batch_size=100, part=Part(rank, count)))
        for rank in range(count)
    ]
    assert {len(share) for share in shares} == {number_of_batches(len(whole), count)}
    own = [[b["labels"].tolist() for b in share if b is not None] for share in shares]
    assert in_turn(own) == whole


# --------------------------------------------------------------------- torchrun's environment


def test_without_torchrun_a_process_is_alone(monkeypatch):
    for name, value in ENVIRONMENT.items():  # as some clusters set them
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert place() == Place()


def test_torchruns_environment_gives_the_place(second_of_two):
    assert place() == Place(rank=1, count=2, local_rank=1, local_count=2)


def test_an_error_that_all_have_is_said_by_the_first(second_of_two, monkeypatch):
    with pytest.raises(SaidElsewhereError), first_speaks():
        raise UserError("wrong")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="wrong"), first_speaks():
        raise UserError("wrong")


def test_a_process_whose_run_failed_elsewhere_is_silent(capsys):
    def answer(_words):
        raise SaidElsewhereError(3)

    assert guarded(answer, []) == 3
    assert capsys.readouterr() == ("", "")


def test_a_sweep_under_torchrun_is_refused(second_of_two, monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "RANK", "0")
    assert sweep_text(["--dry-run"]) == 2
    assert "run_multiple.py is one process, but torchrun has started 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("x"), 2), (BusyError("x"), 3), (Stopped(15), 143), (KeyError(), 1)],
)
def test_exit_codes_are_those_of_the_command_line(error, code):
    assert exit_code(error) == code


# ---------------------------------------------------------------------------------------- devices


def test_without_gpus_all_processes_compute_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("auto", "cpu"):
        assert own_device(name, Place(1, 2, 1, 2)) == torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_has_the_gpu_of_its_number_on_the_machine(monkeypatch, name):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert own_device(name, Place(3, 4, 1, 2)) == torch.device("cuda", 1) == chosen[0]


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"^device: torchrun has started 2 processes .* has 1 GPUs"):
        own_device("auto", Place(1, 2, 1, 2))


def test_one_named_gpu_for_several_processes_is_refused(monkeypatch):
    monkeypatch.setattr("experiments.training.processes.pick_device", torch.device)
    with pytest.raises(UserError, match="'cuda:1' is one device for 2 processes"):
        own_device("cuda:1", Place(1, 2, 1, 2))
