"""Specs become optimizers and schedulers."""

from __future__ import annotations

import pytest
import torch

import sls
from experiments.config.compose import load
from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.errors import UserError
from experiments.optimizers.build import OPTIMIZERS, build_optimizer
from experiments.optimizers.plasls import PLASLS
from experiments.optimizers.sls_optimizers import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA
from experiments.optimizers.torch_optimizers import SGD, Adam, AdamW, NAdamW


def parameters():
    return [torch.nn.Parameter(torch.ones(3))]


def build(spec, total_steps=100, steps_per_epoch=10):
    return build_optimizer(
        spec, parameters(), total_steps=total_steps, steps_per_epoch=steps_per_epoch
    )


def rates(spec, total_steps):
    """The rate of every step of a run, and the one after the last."""
    optimizer, scheduler = build(spec, total_steps)
    seen = []
    for _ in range(total_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return [*seen, optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (Adam(lr=0.1), torch.optim.Adam),
        (AdamW(lr=0.1), torch.optim.AdamW),
        (SGD(lr=0.1), torch.optim.SGD),
        (NAdamW(lr=0.1), torch.optim.NAdam),
        (SLS(), sls.SLS),
        (AdamSLS(), sls.AdamSLS),
        (PLASLS(), sls.PLASLS),
        (ALSALS(), sls.ALSALS),
        (SaLSA(), sls.SaLSA),
        (PeakSLS(), sls.PeakSLS),
    ],
)
def test_every_spec_gives_its_optimizer(spec, kind):
    assert type(build(spec)[0]) is kind


@pytest.mark.parametrize("name", available(CONFIG_ROOT, "optimizer"))
def test_every_file_of_the_configs_gives_an_optimizer_that_lowers_a_loss(name):
    spec = load(["task=digits", f"optimizer={name}"], environ={}).optimizer
    w = torch.nn.Parameter(torch.full((3,), 2.0))
    optimizer, scheduler = build_optimizer(spec, [w], total_steps=20, steps_per_epoch=5)

    def closure():
        loss = w.square().sum()
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        return loss.detach()

    losses = []
    for _ in range(10):
        losses.append(float(optimizer.step(closure)))
        if scheduler is not None:
            scheduler.step()
    assert losses[-1] < losses[0]


def test_every_optimizer_has_a_title_and_a_line():
    for settings in OPTIMIZERS:
        assert settings.model_fields["kind"].default in settings.lines.keys() & settings.titles


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError])
def test_what_a_constructor_refuses_is_a_line_that_begins_with_the_key(monkeypatch, error):
    def refuse(*_params, **_settings):
        raise error("init_step of SLS must be\na number that float32 can hold; got 3e38")

    monkeypatch.setattr(sls, "SLS", refuse)
    with pytest.raises(UserError, match=r"^optimizer\.init_step: init_step of SLS must be a"):
        build(SLS())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SLS(init_step=1e39), r"^optimizer\.init_step: .* is 1e\+39, .* at most 3\.4"),
        (Adam(lr=1e-60), r"^optimizer\.lr: 1e-60 is beyond float32"),
        (Adam(lr=1e39), r"^optimizer\.lr: 1e\+39 is beyond float32"),
    ],
)
def test_a_number_that_no_parameter_can_hold_is_refused(spec, message):
    with pytest.raises(UserError, match=message):
        build(spec)


def test_what_is_too_large_for_one_type_may_fit_another():
    params = [torch.nn.Parameter(torch.ones(3, dtype=torch.float64))]
    assert build_optimizer(SLS(init_step=1e39), params, total_steps=9, steps_per_epoch=3)


def test_settings_of_torchs_optimizers_arrive():
    adam = AdamW(lr=0.1, betas=(0.5, 0.6), eps=1e-3, weight_decay=0.2)
    group = build(adam)[0].param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.5, 0.6), 1e-3, 0.2)
    group = build(SGD(lr=0.1, momentum=0.7, weight_decay=0.2))[0].param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.7, 0.2)


def test_settings_of_a_line_search_arrive_and_null_is_its_default():
    group = build(ALSALS(c=0.7, weight_decay=0.2))[0].param_groups[0]
    default = sls.ALSALS(parameters()).param_groups[0]
    assert (group["c"], group["weight_decay"]) == (0.7, 0.2)
    assert (group["shrink"], group["beta3"]) == (default["shrink"], default["beta3"])


@pytest.mark.parametrize("kind", [SLS, AdamSLS, PLASLS, ALSALS, SaLSA, PeakSLS])
def test_every_optimizer_of_sls_clips_by_a_norm(kind):
    assert build(kind(max_grad_norm=0.5))[0].param_groups[0]["max_grad_norm"] == 0.5


def test_a_budget_of_forward_passes_arrives():
    group = build(ALSALS(search="budget", max_extra_forwards=0.2))[0].param_groups[0]
    assert (group["search"], group["max_extra_forwards"]) == ("budget", 0.2)


@pytest.mark.parametrize("kind", [SLS, AdamSLS, PLASLS, ALSALS, SaLSA])
def test_every_line_search_can_interpolate(kind):
    assert build(kind(interpolate=True))[0].param_groups[0]["interpolate"] is True


def test_a_budget_without_its_search_is_refused():
    with pytest.raises(UserError, match=r"^optimizer\.max_extra_forwards: needs search: budget"):
        build(ALSALS(max_extra_forwards=0.2))


def test_peak_sls_is_told_the_length_of_the_run_unless_nobody_knows_it():
    known = build(PeakSLS(anneal=0.5))[0].param_groups[0]
    assert (known["total_steps"], known["anneal"], known["averaging"]) == (100, 0.5, False)
    unknown = build(PeakSLS(length_known=False, averaging=True))[0].param_groups[0]
    assert (unknown["total_steps"], unknown["averaging"]) == (None, True)
    with pytest.raises(UserError, match=r"optimizer\.anneal: needs length_known"):
        build(PeakSLS(length_known=False, anneal=0.5))


def test_the_cosine_rises_to_the_peak_and_falls_to_zero():
    seen = rates(Adam(lr=0.1, warmup=0.1), 100)
    assert seen[0] > 0
    assert seen[:11] == sorted(seen[:11])
    assert seen[10] == max(seen) == 0.1
    assert seen[10:] == sorted(seen[10:], reverse=True)
    assert seen[99] > 0
    assert seen[100] == 0


def test_a_run_of_one_step_has_a_rate():
    assert rates(Adam(lr=0.1, warmup=0.9), 1)[0] == 0.1


def test_a_constant_rate_without_warm_up_needs_no_scheduler():
    assert build(SGD(lr=0.1, warmup=0, schedule="constant"))[1] is None


def test_a_constant_rate_stays_at_its_peak_after_warm_up():
    seen = rates(SGD(lr=0.1, warmup=0.2, schedule="constant"), 10)
    assert 0 < seen[0] < seen[1] < 0.1
    assert set(seen[2:]) == {0.1}


@pytest.mark.parametrize(("anneal", "total_steps"), [(None, None), (0.25, 100)])
def test_annealing_needs_the_length_of_the_run(anneal, total_steps):
    group = build(ALSALS(anneal=anneal))[0].param_groups[0]
    assert group["total_steps"] == total_steps
    if anneal is not None:
        assert group["anneal"] == anneal


def test_sls_is_told_the_batches_of_an_epoch():
    assert build(SLS())[0].param_groups[0]["n_batches_per_epoch"] == 10


def test_the_paper_preset_is_the_papers():
    group = build(ALSALS(preset="paper", c=0.5))[0].param_groups[0]
    expected = sls.ALSALS.paper(parameters(), c=0.5).param_groups[0]
    assert {k: v for k, v in group.items() if k != "params"} == {
        k: v for k, v in expected.items() if k != "params"
    }


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (ALSALS(preset="paper", growth=1.5), "optimizer.growth"),
        (ALSALS(preset="paper", anneal=0.5), "optimizer.anneal"),
    ],
)
def test_a_setting_that_a_preset_fixes_is_refused(spec, key):
    with pytest.raises(UserError, match=key):
        build(spec)


def test_a_schedule_survives_a_safe_checkpoint(tmp_path):
    optimizer, scheduler = build(Adam(lr=0.1))
    for _ in range(30):
        optimizer.step()
        scheduler.step()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "state.pt")
    again, its_scheduler = build(Adam(lr=0.1))
    states = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(states[0])
    its_scheduler.load_state_dict(states[1])
    for _ in range(5):
        for one, schedule in ((optimizer, scheduler), (again, its_scheduler)):
            one.step()
            schedule.step()
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def blocks(layers):
    def block():
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())

    stack = torch.nn.ModuleList(block() for _ in range(layers))
    return torch.nn.ModuleDict({"blocks": stack, "head": torch.nn.Linear(2, 2)})


def unit_names(spec, model):
    optimizer, _ = build_optimizer(spec, spec.trained(model), total_steps=9, steps_per_epoch=3)
    return [group["name"] for group in optimizer.param_groups]


def test_plasls_splits_the_model_as_its_settings_say():
    assert unit_names(PLASLS(layers_per_unit=2), blocks(3)) == ["layers 0-1", "layer 2", "head"]
    assert unit_names(PLASLS(units="kind"), blocks(3)) == ["0", "head"]


def test_plasls_leaves_out_what_is_frozen():
    model = blocks(2)
    model["blocks"][0].requires_grad_(False)
    assert unit_names(PLASLS(), model) == ["layer 1", "head"]


def test_plasls_needs_a_model_with_layers():
    with pytest.raises(UserError, match=r"optimizer\.units: Linear has no layers"):
        PLASLS().trained(torch.nn.Linear(2, 2))


def test_other_optimizers_train_every_parameter_that_is_not_frozen():
    model = blocks(1)
    model["head"].requires_grad_(False)
    assert len(SGD(lr=0.1).trained(model)) == 2
