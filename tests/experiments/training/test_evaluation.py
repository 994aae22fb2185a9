"""Loss and metrics over the validation source."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments.training.batches import evaluation_batches
from experiments.training.evaluation import evaluate
from tests.experiments.training.tiny import TinyTask

CPU = torch.device("cpu")


@pytest.fixture
def task():
    return TinyTask()


def run(task, batch_size, **options):
    batches = evaluation_batches(task.validation, batch_size=batch_size)
    return evaluate(task, batches, device=CPU, **options)


@pytest.mark.parametrize("batch_size", [1, 100, 10_000])
def test_partial_batches_count_by_their_size(task, batch_size):
    task.model.eval()
    with torch.no_grad():
        logits = task.model(x=task.validation.x)
    loss = float(cross_entropy(logits, task.validation.labels))
    accuracy = float((logits.argmax(1) == task.validation.labels).float().mean())
    found = run(task, batch_size)
    assert found == {"val_loss": pytest.approx(loss, rel=1e-5), "accuracy": pytest.approx(accuracy)}


def test_dropout_is_off_and_random_numbers_are_left_alone(task):
    task.model.train()
    before = torch.get_rng_state()
    assert run(task, 100) == run(task, 100)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode_and_its_buffers(task, training):
    task.model.train(training)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    run(task, 100)
    assert task.model.training is training
    assert all(torch.equal(before[name], value) for name, value in task.model.state_dict().items())


def test_an_interrupted_evaluation_gives_the_mode_back(task):
    def interrupt():
        raise KeyboardInterrupt

    task.model.train()
    with pytest.raises(KeyboardInterrupt):
        run(task, 100, between_batches=interrupt)
    assert task.model.training


def test_metrics_of_one_batch_leave_the_loss_that_of_all(task):
    task.model.eval()
    with torch.no_grad():
        right = task.model(x=task.validation.x).argmax(1) == task.validation.labels
    found = run(task, 50, metrics_of_one_batch=True)
    assert found["accuracy"] == pytest.approx(float(right[:50].float().mean()))
    assert found["accuracy"] != pytest.approx(float(right.float().mean()))
    assert found["val_loss"] == run(task, 50)["val_loss"]
