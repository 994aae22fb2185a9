"""Looking along a step sees the loss that is there, and changes nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from experiments.landscape.look import Looker, shares
from experiments.optimizers.build import build_optimizer
from experiments.optimizers.sls_optimizers import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA
from experiments.optimizers.torch_optimizers import SGD, Adam
from experiments.training.closure import BatchClosure, Passes
from experiments.training.loggers.base import JsonlLogger
from tests.experiments.training.test_loop import make_training, parameters, rows, without_seconds
from tests.experiments.training.tiny import TinyTask

CPU = torch.device("cpu")
SPECS = {
    "alsals": ALSALS(anneal=0.5),
    "salsa": SaLSA(weight_decay=0.1),
    "adam_sls": AdamSLS(),
    "adam": Adam(lr=0.01),
    "peak_sls": PeakSLS(),
    "peak_sls_averaged": PeakSLS(length_known=False, averaging=True),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_training_that_was_looked_at_ends_as_one_that_was_not(tmp_path, spec, micro_batches):
    """With dropout, BatchNorm and an evaluation on the way."""
    ends = []
    for name in ("plain", "seen"):
        training = make_training(tmp_path / name, spec, micro_batches=micro_batches)
        if name == "seen":
            looker = Looker((1, 2, 7, 12), points=5, reach=3.0)
            training.take_step = looker
        training.run(JsonlLogger(training.folder))
        state = parameters(training), torch.get_rng_state()
        ends.append((without_seconds(training.folder.rows()), *state))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(one, other) for one, other in zip(ends[0][1], ends[1][1], strict=True))
    assert torch.equal(ends[0][2], ends[1][2])
    assert [look.step for look in looker.looks] == [1, 2, 7, 12]


@pytest.mark.parametrize("name", ["alsals", "adam_sls", "salsa"])
def test_the_curve_goes_through_what_the_search_measured(tmp_path, name):
    training = make_training(tmp_path, SPECS[name])
    looker = Looker(range(1, 13), points=5, reach=3.0)
    training.take_step = looker
    training.run(JsonlLogger(training.folder))
    for row, look in zip(rows(training, "step"), looker.looks, strict=True):
        for line in look.lines:
            assert line.loss[0] == row["loss"]
        assert look.accepted_step == row["step_size"]
        assert look.step_taken == row["step_size"] * row["factor"]
        if row["searched"]:
            line = look.lines[0]
            assert line.loss[line.t.index(row["step_size"])] == row["loss_next"]
            assert row["loss_next"] <= look.accepts(row["step_size"]) + 1e-5
    assert any(look.step_taken < look.accepted_step for look in looker.looks) == (name == "alsals")


# ------------------------------------------------------------------------------ known by hand


class Bowl(TinyTask):
    """`f(w) = ½‖w‖²` of w = (3, 4), whatever the batch."""

    def __init__(self, factor=1.0):
        self.model = nn.Linear(2, 1, bias=False)
        self.factor = factor
        with torch.no_grad():
            self.model.weight.copy_(torch.tensor([[3.0, 4.0]]))

    def loss(self, batch):
        return self.factor * self.model.weight.square().sum() / 2


def look_at(spec, *, steps=1, points=4, reach=3.0, task=None):
    task = Bowl() if task is None else task
    optimizer, _ = build_optimizer(
        spec, task.model.parameters(), total_steps=10, steps_per_epoch=10
    )
    looker = Looker(range(1, steps + 1), points=points, reach=reach)
    passes = Passes()
    batch = {"labels": torch.zeros(1)}
    for _ in range(steps):
        looker(optimizer, BatchClosure(task, batch, passes, device=CPU))
    return looker.looks, optimizer, passes


def test_the_loss_along_the_gradient_of_a_bowl_is_its_parabola():
    """`f(w − t·w) = ½(1−t)²·25`, least at t = 1 = 4 steps."""
    spec = SGD(lr=0.25, momentum=0.0, schedule="constant", warmup=0.0)
    (look,), _, passes = look_at(spec, points=101, reach=16.0)
    (line,) = look.lines
    assert (line.direction, line.step, look.status) == ("taken", 0.25, "taken")
    assert line.loss == pytest.approx([12.5 * (1 - t) ** 2 for t in line.t], abs=1e-4)
    assert line.t[-1] == 4.0
    assert line.best_step == pytest.approx(1.0)
    assert line.ratio == pytest.approx(0.25)
    assert not line.best_is_last
    assert (look.accepts, look.armijo) == (None, None)
    assert (passes.forward, passes.backward) == (1, 1)


def test_armijos_line_of_a_bowl():
    """From f(w) = 12.5 it falls by c·‖g‖² = 0.1·25 a unit."""
    (look,), _, _ = look_at(SLS())
    assert look.slope == pytest.approx(25.0)
    for bound in (look.accepts, look.armijo):
        assert (bound.at_zero, bound.per_step) == (pytest.approx(12.5), pytest.approx(-2.5))
    assert not look.smoothed


def test_what_alsals_accepts_in_its_second_step():
    """h = (1−β₃)Δ₁ and s = (1−β₃)(β₃p₁ + p₂), so f ≤ f₂ + β₃Δ₁ − c·t·(β₃p₁ + p₂)."""
    looks, _, _ = look_at(ALSALS(), steps=2)
    first, second = looks
    assert not first.smoothed
    line = first.lines[0]
    decrease = first.loss - line.loss[line.t.index(line.step)]
    assert second.accepts.at_zero == pytest.approx(second.loss + 0.99 * decrease, rel=1e-6)
    slopes = 0.99 * first.slope + second.slope
    assert second.accepts.per_step == pytest.approx(-0.3 * slopes, rel=1e-6)
    assert second.armijo.per_step == pytest.approx(-0.3 * second.slope)
    assert second.smoothed


def test_where_another_direction_is_taken_both_are_looked_along():
    looks, _, _ = look_at(AdamSLS(), steps=3)
    searched, taken = looks[-1].lines
    assert (searched.direction, taken.direction) == ("searched", "taken")
    assert searched.step == taken.step
    assert searched.loss[0] == taken.loss[0]
    assert searched.loss[1:] != taken.loss[1:]


def test_the_taken_step_of_the_curve_is_where_the_training_goes_on():
    looks, _, _ = look_at(AdamSLS(), steps=3)
    for look, following in pairwise(looks):
        taken = look.lines[-1]
        assert taken.loss[taken.t.index(taken.step)] == following.loss


def test_a_step_that_moved_nothing_has_no_line():
    (look,), optimizer, _ = look_at(ALSALS(), task=Bowl(factor=math.nan))
    assert (look.lines, look.status, look.step_taken) == ((), "nonfinite_loss", 0.0)
    weight = optimizer.param_groups[0]["params"][0]
    assert weight.tolist() == [[3.0, 4.0]]


def test_the_grid_has_its_ends_and_the_step_itself_and_is_densest_at_zero():
    found = shares(41, 3.0)
    assert (found[0], found[-1], len(found)) == (0.0, 3.0, 42)
    assert 1.0 in found
    assert found[1] < 0.01
