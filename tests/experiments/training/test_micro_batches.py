"""A step of k micro-batches is the step of the whole batch."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.tasks.losses import Classification, LanguageModelling
from experiments.training.closure import BatchClosure, Passes, split_batch
from sls import ALSALS, SLS, AdamSLS, SaLSA
from tests.experiments.training.test_loop import rows, train
from tests.experiments.training.tiny import Digits, Net, TinyTask

CPU = torch.device("cpu")
OPTIMIZERS = {
    "Adam": lambda params: torch.optim.Adam(params, lr=0.01),
    "SLS": lambda params: SLS(params, n_batches_per_epoch=5),
    "AdamSLS": AdamSLS,
    "ALSALS": ALSALS,
    "ALSALS.paper": ALSALS.paper,
    "SaLSA": SaLSA,
}


class Classes(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))

    def forward(self, x):
        return self.layers(x)


class NextToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(16, 8)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16))

    def forward(self, input_ids):
        return self.layers(self.embedding(input_ids))


class SomePositions(LanguageModelling):
    """A loss at the positions whose label is not -100, as in masked language modelling."""

    def loss(self, batch):
        return F.cross_entropy(self._outputs(batch).flatten(0, 1), batch["labels"].flatten())

    def weight(self, batch):
        return int((batch["labels"] != -100).sum())


def picture_task():
    torch.manual_seed(0)
    source = Digits((0,))
    source.x = source.x.double()
    task = Classification(Classes().double(), source, source)
    sizes = [10, 10, 3, 10]
    return task, [source.batch(indices, None) for indices in torch.arange(33).split(sizes)]


def text_task():
    """Sequences with one prediction, with many, and some with none."""
    torch.manual_seed(1)
    batches = []
    for size in (10, 10, 3, 10):
        ids = torch.randint(0, 16, (size, 12))
        share = torch.linspace(-0.2, 1, size)[:, None]
        labels = torch.where(torch.rand(size, 12) < share, (ids * 7 + 1) % 16, -100)
        batches.append({"input_ids": ids, "labels": labels})
    # Its data are never asked for.
    return SomePositions(NextToken().double(), None, None), batches  # type: ignore[arg-type]


def steps(make_task, make_optimizer, micro_batches):
    """The parameters and losses of one step a batch."""
    task, batches = make_task()
    optimizer = make_optimizer(task.model.parameters())
    passes = Passes()
    losses = [
        float(
            optimizer.step(
                BatchClosure(task, batch, passes, device=CPU, micro_batches=micro_batches)
            )
        )
        for batch in batches
    ]
    weights = torch.cat([p.detach().flatten() for p in task.model.parameters()])
    return weights, torch.tensor(losses), passes


@pytest.mark.parametrize("make_task", [picture_task, text_task])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_four_micro_batches_make_the_step_of_the_whole_batch(name, make_task):
    """10 examples in 4 parts are 3, 3, 2 and 2; one batch has 3 examples only."""
    whole, losses, passes = steps(make_task, OPTIMIZERS[name], 1)
    parts, part_losses, part_passes = steps(make_task, OPTIMIZERS[name], 4)
    torch.testing.assert_close(part_losses, losses, rtol=1e-12, atol=0)
    # The papers' finite difference divides the rounding of two losses by a tiny step.
    tolerance = 1e-6 if name == "ALSALS.paper" else 1e-9
    torch.testing.assert_close(parts, whole, rtol=tolerance, atol=tolerance)
    assert part_passes == passes, "passes are counted per whole batch"


@pytest.mark.parametrize("micro_batches", [1, 3, 4, 16])
def test_with_and_without_gradients_the_loss_is_the_same_bit_for_bit(micro_batches):
    task, batches = text_task()
    task.model.float()
    closure = BatchClosure(task, batches[0], Passes(), device=CPU, micro_batches=micro_batches)
    loss = closure()
    assert not loss.requires_grad
    assert loss.shape == ()
    with torch.no_grad():
        assert torch.equal(closure(), loss)


def test_parts_are_views_of_sizes_that_differ_by_one_at_most():
    batch = {"x": torch.arange(22).view(11, 2), "labels": torch.arange(11)}
    parts = split_batch(batch, 4)
    assert [len(part["labels"]) for part in parts] == [3, 3, 3, 2]
    for key, tensor in batch.items():
        assert torch.equal(torch.cat([part[key] for part in parts]), tensor)
        storages = {part[key].untyped_storage().data_ptr() for part in parts}
        assert storages == {tensor.untyped_storage().data_ptr()}
    assert [len(part["labels"]) for part in split_batch(batch, 50)] == [1] * 11


def test_the_graph_of_a_part_is_freed_before_the_next_one():
    task, batches = picture_task()
    kept = weakref.WeakSet()
    seen = []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor
            kept.add(self)

    class Watched(Classification):
        def loss(self, batch):
            seen.append(len(kept))
            with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
                loss = super().loss(batch)
            assert len(kept) > 0
            return loss

    watched = Watched(task.model, task.train, task.validation)
    BatchClosure(watched, batches[0], Passes(), device=CPU, micro_batches=5)()
    assert seen == [0] * 5


def test_a_batch_without_predictions_has_the_loss_that_the_task_gives_it():
    task, batches = text_task()
    batch = batches[0] | {"labels": torch.full((10, 12), -100)}
    closure = BatchClosure(task, batch, Passes(), device=CPU, micro_batches=4)
    assert closure().isnan()


def test_batchnorm_moves_its_buffers_once_for_each_part():
    task = TinyTask()
    batch = task.train.batch(torch.arange(60), None)
    BatchClosure(task, batch, Passes(), device=CPU, micro_batches=3)()
    assert isinstance(task.model, Net)
    assert task.model.layers[1].num_batches_tracked == 3


def test_the_plan_says_how_many_parts(tmp_path):
    """Dropout is drawn for each part in turn, as for the whole; BatchNorm is out of the way."""

    def task():
        task = TinyTask()
        task.model.layers[1] = nn.Identity()
        return task

    whole = train(tmp_path / "whole", task=task(), epochs=1)
    parts = train(tmp_path / "parts", task=task(), epochs=1, micro_batches=4)
    assert whole.progress.passes == parts.progress.passes
    for one, other in zip(rows(whole, "step"), rows(parts, "step"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
