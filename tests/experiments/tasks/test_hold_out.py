"""Holding out training examples: a partition, the same for every seed, not augmented."""

from __future__ import annotations

import pytest
import torch

from experiments.errors import UserError
from experiments.tasks.build import hold_out
from tests.experiments.training.tiny import Digits, TinyTask


def every(source) -> torch.Tensor:
    return source.batch(torch.arange(len(source)), None)["x"]


def test_the_two_parts_are_the_training_examples_and_nothing_twice():
    task, whole = TinyTask(), every(Digits((0,)))
    hold_out(task, 0.1)
    parts = torch.cat([every(task.train), every(task.validation)])
    assert len(task.validation) == round(0.1 * len(whole))
    assert sorted(map(tuple, parts.tolist())) == sorted(map(tuple, whole.tolist()))


def test_held_out_examples_come_from_all_over_the_training_part():
    task, whole = TinyTask(), every(Digits((0,)))
    hold_out(task, 0.25)
    places = [int((whole == row).all(dim=1).nonzero()[0]) for row in every(task.validation)]
    thirds = torch.bincount(torch.tensor(places) * 3 // len(whole), minlength=3)
    assert thirds.min() > len(places) // 6


def test_the_same_examples_are_held_out_whatever_the_seed():
    tasks = TinyTask(), TinyTask()
    for seed, task in enumerate(tasks):
        torch.manual_seed(seed)
        hold_out(task, 0.1)
    torch.testing.assert_close(every(tasks[0].validation), every(tasks[1].validation))


def test_further_validation_splits_are_not_seen():
    task = TinyTask()
    task.also_validation = {"mm": Digits((2,))}
    hold_out(task, 0.1)
    assert task.also_validation == {}


def test_lengths_follow_their_examples():
    task = TinyTask()
    task.train.lengths = task.train.x.count_nonzero(dim=1)
    hold_out(task, 0.1)
    assert torch.equal(task.train.lengths, every(task.train).count_nonzero(dim=1))


@pytest.mark.parametrize("share", [1e-6, 1 - 1e-6])
def test_a_part_without_examples_is_refused(share):
    with pytest.raises(UserError, match=r"trainer\.hold_out is .* of 360 training examples"):
        hold_out(TinyTask(), share)
