"""The closure of a batch."""

from __future__ import annotations

import pytest
import torch

from experiments.training.closure import BatchClosure, Passes
from tests.experiments.training.tiny import TinyTask

CPU = torch.device("cpu")


@pytest.fixture
def task():
    task = TinyTask()
    task.model.eval()  # without dropout, so that two forward passes agree
    return task


@pytest.fixture
def batch(task):
    return task.train.batch(torch.arange(50), None)


def gradients(task):
    return [parameter.grad.clone() for parameter in task.model.parameters()]


def test_with_gradients_it_gives_the_detached_loss_and_its_gradients(task, batch):
    expected_loss = task.loss(batch)
    expected = torch.autograd.grad(expected_loss, list(task.model.parameters()))
    loss = BatchClosure(task, batch, Passes(), device=CPU)()
    assert not loss.requires_grad
    assert torch.equal(loss, expected_loss)
    for found, right in zip(gradients(task), expected, strict=True):
        torch.testing.assert_close(found, right)


def test_a_second_call_does_not_add_to_the_gradients(task, batch):
    closure = BatchClosure(task, batch, Passes(), device=CPU)
    closure()
    once = gradients(task)
    closure()
    assert all(torch.equal(a, b) for a, b in zip(once, gradients(task), strict=True))


def test_without_gradients_it_only_looks(task, batch):
    closure = BatchClosure(task, batch, Passes(), device=CPU)
    loss = closure()
    before = gradients(task)
    with torch.no_grad():
        assert torch.equal(closure(), loss)
    assert all(torch.equal(a, b) for a, b in zip(before, gradients(task), strict=True))


def test_passes_are_counted(task, batch):
    passes = Passes()
    closure = BatchClosure(task, batch, passes, device=CPU)
    closure()
    with torch.no_grad():
        closure()
        closure()
    assert passes == Passes(forward=3, backward=1)


def test_bfloat16_rounds_the_forward_pass_and_keeps_float32_gradients(task, batch):
    full = BatchClosure(task, batch, Passes(), device=CPU)()
    half = BatchClosure(task, batch, Passes(), device=CPU, precision="bfloat16")()
    assert half != full
    torch.testing.assert_close(half, full, rtol=0.02, atol=0, check_dtype=False)
    assert all(g.dtype == torch.float32 for g in gradients(task))
