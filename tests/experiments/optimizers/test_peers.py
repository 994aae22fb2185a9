"""Optimizers of others: they train, resume bit for bit, and are judged at the right weights."""

from __future__ import annotations

import math
import sys

import pytest
import torch

from experiments.config.compose import load
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.optimizers.build import build_optimizer
from experiments.optimizers.peers import DAdaptAdam, Prodigy, ScheduleFreeAdamW
from experiments.optimizers.torch_optimizers import NAdamW
from experiments.training.checkpoint import Parts, Progress, load_checkpoint, save_checkpoint
from experiments.training.loggers.base import JsonlLogger
from experiments.training.loop import step_size_of
from tests.experiments.training.test_loop import (
    CtrlCInEvaluation,
    StopAt,
    StoppedError,
    parameters,
    rows,
    train,
    without_seconds,
)
from tests.experiments.training.test_loop import make_training as make
from tests.experiments.training.tiny import TinyTask

PEERS = ["prodigy", "dadapt_adam", "momo_adam", "schedulefree_adamw"]
ANCHORS = ["algoperf_schedulefree", "algoperf_nadamw"]
MODULES = {
    "prodigy": ("prodigyopt", "prodigyopt"),
    "dadapt_adam": ("dadaptation", "dadaptation"),
    "momo_adam": ("momo", "momo-opt"),
    "schedulefree_adamw": ("schedulefree", "schedulefree"),
}


def spec_of(name):
    """The spec of a file of `config/optimizer/`."""
    return load(["task=digits", f"optimizer={name}"], environ={}).optimizer


def build(name, params=None):
    params = [torch.nn.Parameter(torch.ones(3))] if params is None else params
    return build_optimizer(spec_of(name), params, total_steps=100, steps_per_epoch=10)


def settings_of(optimizer, *names):
    return tuple(optimizer.param_groups[0][name] for name in names)


# --------------------------------------------------------------------------------- they train


@pytest.mark.parametrize("name", [*PEERS, *ANCHORS])
def test_a_peer_trains(tmp_path, name):
    training = train(tmp_path, spec_of(name), epochs=10)
    first, *_, last = rows(training, "evaluation")
    assert last["val_loss"] < first["val_loss"]
    assert last["accuracy"] > 0.5
    assert training.progress.passes.forward == training.progress.passes.backward == 60


@pytest.mark.parametrize("name", [*PEERS, "algoperf_nadamw"])
@pytest.mark.parametrize("at", [("step", 7), ("evaluation", 6), ("evaluation", 12)])
def test_a_run_that_stops_anywhere_resumes_bit_for_bit(tmp_path, name, at):
    spec = spec_of(name)
    whole = train(tmp_path / "whole", spec)
    broken = make(tmp_path / "broken", spec)
    with pytest.raises(StoppedError):
        broken.run(StopAt(broken.folder, *at))
    torch.manual_seed(999)
    resumed = train(tmp_path / "broken", spec)
    assert without_seconds(resumed.folder.rows()) == without_seconds(whole.folder.rows())
    assert all(map(torch.equal, parameters(whole), parameters(resumed)))
    assert resumed.progress.best == whole.progress.best


@pytest.mark.parametrize("name", PEERS)
def test_twelve_steps_are_six_a_checkpoint_and_six_more(tmp_path, name):
    def parts():
        task = TinyTask()
        optimizer, scheduler = build(name, task.model.parameters())
        return task, Parts(task.model, optimizer, scheduler, torch.device("cpu"))

    def steps(task, of, numbers):
        def closure():
            of.model.zero_grad()
            loss = task.loss(batch)
            loss.backward()
            return loss.detach()

        for number in numbers:
            batch = task.train.batch(torch.arange(32) + number, None)
            of.optimizer.step(closure)
            if of.scheduler is not None:
                of.scheduler.step()

    task, whole = parts()
    steps(task, whole, range(6))
    folder = RunFolder(tmp_path)
    save_checkpoint(folder, whole, Progress(step=6))
    steps(task, whole, range(6, 12))
    other_task, resumed = parts()
    load_checkpoint(folder, resumed)
    steps(other_task, resumed, range(6, 12))
    assert all(map(torch.equal, whole.model.parameters(), resumed.model.parameters()))


def test_evaluations_leave_no_trace_in_training(tmp_path):
    often = train(tmp_path / "often", spec_of("schedulefree_adamw"), eval_every_steps=1)
    once = train(tmp_path / "once", spec_of("schedulefree_adamw"), eval_every_steps=12)
    assert all(map(torch.equal, parameters(often), parameters(once)))


def test_ctrl_c_in_an_evaluation_leaves_the_weights_in_training(tmp_path):
    spec = spec_of("schedulefree_adamw")
    whole = train(tmp_path / "whole", spec)
    training = make(tmp_path / "broken", spec, CtrlCInEvaluation())
    with pytest.raises(KeyboardInterrupt):
        training.run(JsonlLogger(training.folder))
    resumed = train(tmp_path / "broken", spec)
    assert without_seconds(resumed.folder.rows()) == without_seconds(whole.folder.rows())
    assert all(map(torch.equal, parameters(whole), parameters(resumed)))


def test_schedule_free_is_kept_at_its_average(tmp_path):
    training = train(tmp_path, spec_of("schedulefree_adamw"), max_steps=6)
    best = torch.load(training.folder.best_file, weights_only=True)
    beta1 = training.optimizer.param_groups[0]["betas"][0]
    for name, y in training.task.model.named_parameters():
        z = training.optimizer.state[y]["z"]
        x = (y - (1 - beta1) * z) / beta1
        assert torch.allclose(best[name], x, atol=1e-6), name
        assert not torch.equal(best[name], y), name


# ------------------------------------------------------------------------------- which rate


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adam"])
def test_the_rate_is_the_estimate_times_the_schedule(tmp_path, name):
    training = make(tmp_path, spec_of(name))
    estimates = []

    def step(optimizer, closure):
        group = optimizer.param_groups[0]
        estimates.append(group["d"] * group["lr"])
        return float(optimizer.step(closure))

    training.take_step = step
    training.run(StopAt(training.folder, "step", 0))
    rates = [row["step_size"] for row in rows(training, "step")]
    assert rates == estimates
    assert rates[0] <= 1e-6 < max(rates)


def test_the_rate_of_schedule_free_warms_up_and_stays(tmp_path):
    spec = ScheduleFreeAdamW(lr=0.01, warmup=0.25)
    rates = [row["step_size"] for row in rows(train(tmp_path, spec), "step")]
    assert rates == pytest.approx([0.01 * min(1, (k + 1) / 3) for k in range(12)])


def test_momo_says_the_bound_of_its_step():
    assert step_size_of(build("momo_adam")[0]) == 0.01


# ----------------------------------------------------------------------------- which settings


@pytest.mark.parametrize("name", PEERS)
def test_a_peers_settings_are_its_packages_own_defaults(name):
    optimizer, _ = build(name)
    theirs = next(
        one for one in type(optimizer).mro() if one.__module__.startswith(MODULES[name][0])
    )
    plain = theirs([torch.nn.Parameter(torch.ones(3))])
    differing = {"params", "train_mode", "warmup_steps", "lr", "initial_lr"}
    ours, theirs = optimizer.param_groups[0], plain.param_groups[0]
    assert {k: v for k, v in ours.items() if k not in differing} == {
        k: v for k, v in theirs.items() if k not in differing
    }
    assert spec_of(name).lr == theirs["lr"]


def test_schedules_are_the_recommended_ones():
    found = {name: (spec_of(name).schedule, spec_of(name).warmup) for name in PEERS}
    assert found == {
        "prodigy": ("cosine", 0.0),
        "dadapt_adam": ("cosine", spec_of("adam").warmup),
        "momo_adam": ("constant", 0.0),
        "schedulefree_adamw": ("constant", 0.05),
    }
    assert build("momo_adam")[1] is build("schedulefree_adamw")[1] is None


def test_the_anchors_have_their_published_settings():
    decay, beta2 = 0.08121616522670176, 0.9955159689799007
    names = ("lr", "betas", "eps", "weight_decay")
    free, schedule = build("algoperf_schedulefree")
    assert settings_of(free, *names) == (0.0025, (0.9, beta2), 1e-8, decay)
    assert settings_of(free, "r", "weight_lr_power", "warmup_steps") == (0.75, 2.0, 2)
    assert schedule is None
    nadamw, schedule = build("algoperf_nadamw")
    assert settings_of(nadamw, *names[1:]) == ((1 - 0.06733926164, beta2), 1e-8, decay)
    assert schedule.base_lrs == [0.0017486387539278373]
    assert schedule.lr_lambdas[0].warmup_steps == 2
    assert schedule.lr_lambdas[0](100) == pytest.approx(0)


def test_nadamw_has_one_momentum_at_every_step():
    beta1, beta2, lr, decay = 0.8, 0.9, 0.1, 0.5
    spec = NAdamW(lr=lr, betas=(beta1, beta2), weight_decay=decay, warmup=0.0, schedule="constant")
    w = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer, _ = build_optimizer(spec, [w], total_steps=9, steps_per_epoch=9)
    expected, m, v = 2.0, 0.0, 0.0
    for t in range(1, 6):
        g = math.sin(3.0 * t)
        w.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        ahead = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        expected *= 1 - lr * decay
        expected -= lr * ahead / (math.sqrt(v / (1 - beta2**t)) + 1e-8)
        assert w.item() == pytest.approx(expected, rel=1e-6)  # torch counts in float32


def test_schedule_free_needs_momentum():
    with pytest.raises(ValueError, match="greater than 0"):
        ScheduleFreeAdamW(lr=0.1, betas=(0.0, 0.9))


def test_weight_decay_is_taken_in_silence(capsys):
    params = [torch.nn.Parameter(torch.ones(3))]
    for spec in (
        Prodigy(lr=1.0, weight_decay=0.1),
        DAdaptAdam(lr=1.0, weight_decay=0.1, decouple=True),
    ):
        optimizer, _ = build_optimizer(spec, params, total_steps=9, steps_per_epoch=9)
        assert settings_of(optimizer, "weight_decay", "decouple") == (0.1, True)
    assert capsys.readouterr().out == ""


# ----------------------------------------------------------------------------- not installed


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch, name):
    module, package = MODULES[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as caught:
        build(name)
    assert str(caught.value) == (
        f"optimizer={name} needs the package {package}: pip install '.[peers]'"
    )


def test_what_is_missing_inside_a_peer_is_not_blamed_on_the_peer(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("prodigyopt")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "prodigyopt.prodigy", None)
    with pytest.raises(ModuleNotFoundError, match=r"prodigyopt\.prodigy"):
        build("prodigy")
