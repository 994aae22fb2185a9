"""Optimizers that average: what is judged, what is kept, and what training sees of it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from experiments.training.evaluation import statistics_of
from experiments.training.loggers.base import JsonlLogger
from tests.experiments.training.test_loop import make_training, parameters, rows
from tests.experiments.training.tiny import TinyTask


class HalfSGD(torch.optim.SGD):
    """SGD that says half its weights were the average; `averages` may be switched off."""

    averages = True
    swaps = 0

    @contextmanager
    def averaged(self):
        params = self.param_groups[0]["params"]
        kept = [param.detach().clone() for param in params]
        self.swaps += 1
        with torch.no_grad():
            torch._foreach_mul_(params, 0.5)
        yield
        with torch.no_grad():
            torch._foreach_copy_(params, kept)


def trained(path, *, averages=True, task=None, **changes):
    training = make_training(path, task=task, **changes)
    training.optimizer = HalfSGD(training.task.model.parameters(), lr=0.1)
    training.optimizer.averages = averages
    training.scheduler = None
    training.run(JsonlLogger(training.folder))
    return training


def states(training):
    """State of the model in training, and of the one that was kept as the best."""
    best = torch.load(training.folder.best_file, weights_only=True)
    return training.task.model.state_dict(), best


def test_the_model_that_is_kept_is_the_average_and_the_trained_one_goes_on(tmp_path):
    training = trained(tmp_path, epochs=1)
    now, best = states(training)
    for name, _ in training.task.model.named_parameters():
        assert torch.equal(best[name], now[name] * 0.5), name
    saved = torch.load(training.folder.checkpoint_file, weights_only=True)["model"]
    assert all(torch.equal(saved[name], now[name]) for name in now)


def test_the_numbers_are_the_averages(tmp_path):
    training = trained(tmp_path, epochs=1)
    _, best = states(training)
    task = TinyTask()
    task.model.load_state_dict(best)
    task.model.eval()
    batch = task.validation.batch(torch.arange(len(task.validation)), None)
    assert training.progress.final["val_loss"] == pytest.approx(
        float(task.predict(batch).loss), rel=1e-5
    )


def test_training_sees_nothing_of_it(tmp_path):
    plain = trained(tmp_path / "plain", averages=False, eval_every_steps=1)
    swapped = trained(tmp_path / "swapped", eval_every_steps=1)
    assert plain.optimizer.swaps == 0
    assert swapped.optimizer.swaps == 12
    assert all(map(torch.equal, parameters(plain), parameters(swapped)))
    losses = [[row["loss"] for row in rows(one, "step")] for one in (plain, swapped)]
    assert losses[0] == losses[1]
    assert plain.progress.passes == swapped.progress.passes


def test_statistics_and_mode_return_where_an_evaluation_fails():
    model = TinyTask().model
    before = [buffer.clone() for buffer in model.buffers()]
    batch = torch.randn(64, 64)
    with pytest.raises(RuntimeError), statistics_of(model, [lambda: model(batch)]):
        raise RuntimeError
    assert all(map(torch.equal, before, model.buffers()))
    assert model.training
    assert [norm.momentum for norm in model.modules() if isinstance(norm, nn.BatchNorm1d)] == [0.1]


def test_statistics_are_the_mean_over_the_passes_without_a_random_number():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3))
    batches = [torch.randn(8, 3) + shift for shift in (0.0, 2.0, 7.0)]
    state = torch.get_rng_state()
    with statistics_of(model, [lambda b=b: model(b) for b in batches]):
        mean = torch.stack([b.mean(0) for b in batches]).mean(0)
        variance = torch.stack([b.var(0) for b in batches]).mean(0)
        assert torch.allclose(model[1].running_mean, mean, atol=1e-6)
        assert torch.allclose(model[1].running_var, variance, atol=1e-6)
    assert torch.equal(state, torch.get_rng_state())


def never():
    raise AssertionError("a pass was made")


@pytest.mark.parametrize(
    "model",
    [nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False), TinyTask().model.eval()],
)
def test_without_statistics_to_move_no_pass_is_made(model):
    with statistics_of(model, [never]):
        pass
