"""Line searches around other torch optimizers: the direction, the state, the schedulers."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import schedulefree
import torch
from hypothesis import given
from hypothesis import strategies as st
from prodigyopt import Prodigy
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

import sls
from sls import ALSALS, SLS, AdamSLS, Backtracking, LineSearch, PeakSLS, SaLSA, Status
from sls.conditions import Armijo, SmoothedArmijo
from sls.parameters import GroupTensors
from tests.sls.bases import BASES, Lion, MakeBase, each_base
from tests.sls.problems import PROBLEMS, vector_of

RATE = 1e-2
FIXED: dict[str, Any] = {"init_step": RATE, "growth": 1.0, "tolerance": 1e30}
"""Settings with which every search takes the same step, at its first trial."""


def train(module: nn.Module, optimizer: Any, steps: range) -> list[float]:
    return [float(optimizer.step(lambda k=k: module(k))) for k in steps]


def train_alone(module: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for k in steps:
        optimizer.zero_grad()
        module(k).backward()
        optimizer.step()


def state_of(base: torch.optim.Optimizer) -> dict[str, Any]:
    return copy.deepcopy(base.state_dict())


def assert_same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


# ------------------------------------------------------------------------------- the direction


@pytest.mark.parametrize("rule", [ALSALS, PeakSLS])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_around_adam_every_step_of_200_is_the_rules_own(problem: str, rule: Any) -> None:
    ours, plain = PROBLEMS[problem](), PROBLEMS[problem]()
    optimizer = rule.around(torch.optim.Adam(ours.parameters(), lr=0.7), total_steps=200)
    expected = rule(plain.parameters(), total_steps=200)
    for k in range(200):
        train(ours, optimizer, range(k, k + 1))
        train(plain, expected, range(k, k + 1))
        assert optimizer.last_step.status == expected.last_step.status
        for x, y in zip(ours.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_around_sgd_with_momentum_it_is_the_momentum_direction(problem: str) -> None:
    ours, plain = PROBLEMS[problem](), PROBLEMS[problem]()
    base = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    losses = train(ours, PeakSLS.around(base), range(200))
    expected = train(plain, PeakSLS(plain.parameters(), direction="sgd"), range(200))
    assert losses == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_around_lion_it_is_the_same_search_along_lions_direction() -> None:
    class LionDirection(sls.Direction):
        def searched(self, group: Any) -> list[Tensor]:
            means = group.state_tensors("exp_avg")
            return [
                (m * 0.9 + g * (1 - 0.9)).sign() for m, g in zip(means, group.grads, strict=True)
            ]

        def commit(self, group: Any) -> None:
            for mean, grad in zip(group.state_tensors("exp_avg"), group.grads, strict=True):
                mean.mul_(0.99).add_(grad, alpha=1 - 0.99)
            group.keep_state()

    ours, plain = PROBLEMS["network"](), PROBLEMS["network"]()
    optimizer = ALSALS.around(Lion(ours.parameters()))
    expected = Backtracking(
        plain.parameters(),
        direction=LionDirection(),
        condition=SmoothedArmijo(0.3, 0.99),
        init_step=0.1,
        growth=1 / 0.999,
    )
    losses = train(plain, expected, range(100))
    assert train(ours, optimizer, range(100)) == pytest.approx(losses, rel=1e-9)


@pytest.mark.parametrize("problem", PROBLEMS)
@each_base()
def test_with_a_fixed_step_it_walks_as_the_base_alone(make: MakeBase, problem: str) -> None:
    ours, alone = PROBLEMS[problem](), PROBLEMS[problem]()
    train(ours, ALSALS.around(make(ours.parameters(), lr=RATE), **FIXED), range(50))
    train_alone(alone, make(alone.parameters(), lr=RATE), range(50))
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


def test_with_a_fixed_step_of_1_it_walks_as_prodigy_alone() -> None:
    ours, alone = PROBLEMS["network"](), PROBLEMS["network"]()
    settings = {**FIXED, "init_step": 1.0}
    train(ours, ALSALS.around(Prodigy(ours.parameters(), lr=1.0), **settings), range(50))
    train_alone(alone, Prodigy(alone.parameters(), lr=1.0), range(50))
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


def halves(module: nn.Module, make_matrices: Any, make_others: Any) -> list[Any]:
    params = list(module.parameters())
    matrices = [p for p in params if p.ndim == 2]
    return [make_matrices(matrices), make_others([p for p in params if p.ndim != 2])]


def muon(params: Any) -> torch.optim.Optimizer:
    return torch.optim.Muon(params, lr=0.02, weight_decay=0.1)


def adamw(params: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=0.002)


def test_two_optimizers_walk_together_as_both_do_alone() -> None:
    ours, alone = PROBLEMS["network"](), PROBLEMS["network"]()
    bases = halves(ours, muon, adamw)
    train(ours, ALSALS.around(*bases, **{**FIXED, "init_step": 0.02}), range(10))
    both = halves(alone, muon, adamw)
    for k in range(10):
        alone.zero_grad()
        alone(k).backward()
        for optimizer in both:
            optimizer.step()
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


DESCENDING = ["AdamW", "SGD", "Lion"]
"""Armijo's condition without smoothing wants a direction that descends: no momentum of SGD."""


@pytest.mark.parametrize(
    ("rule", "name"),
    [(rule, name) for rule in (SLS, AdamSLS) for name in DESCENDING]
    + [(rule, name) for rule in (ALSALS, SaLSA, PeakSLS) for name in [*DESCENDING, "SGD-momentum"]],
)
def test_every_rule_around_a_base_lowers_the_loss(rule: Any, name: str) -> None:
    module, make = PROBLEMS["quadratic"](), BASES[name]
    settings = {} if rule is PeakSLS else {"init_step": 0.01}
    losses = train(module, rule.around(make(module.parameters(), lr=RATE), **settings), range(160))
    assert sum(losses[-8:]) < 0.3 * sum(losses[:8])


def test_a_condition_of_ones_own_goes_around_a_base() -> None:
    module = PROBLEMS["quadratic"]()
    base = torch.optim.NAdam(module.parameters())
    losses = train(module, Backtracking.around(base, condition=Armijo(0.1)), range(40))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_direction_is_known_to_rounding_whatever_the_bases_lr(dtype: torch.dtype) -> None:
    w = nn.Parameter(torch.linspace(-1, 1, 50).to(dtype))
    before = w.detach().clone()
    optimizer = ALSALS.around(Lion([w], lr=1e-9), **{**FIXED, "init_step": 0.25})
    optimizer.step(lambda: (w.float() ** 2).sum())
    assert_same(w.detach(), before - 0.25 * before.sign())


def test_decoupled_decay_of_the_base_is_part_of_direction_and_slope() -> None:
    w = nn.Parameter(torch.tensor([2.0, -4.0], dtype=torch.float64))
    optimizer = ALSALS.around(torch.optim.AdamW([w], weight_decay=0.1), **FIXED)
    optimizer.step(lambda: (w**2).sum() / 2)
    # Adam's first direction is the sign of g = w.
    assert optimizer.last_step.slope == pytest.approx(2 * (1 + 0.2) + 4 * (1 + 0.4), rel=1e-6)


# ---------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("as_tensor", [False, True])
def test_groups_keep_the_ratio_of_their_rates(as_tensor: bool) -> None:
    def rate(number: float) -> float | Tensor:
        return torch.tensor(number, dtype=torch.float64) if as_tensor else number

    def groups(module: nn.Module) -> list[dict[str, Any]]:
        first, second = module.layers[0], module.layers[2]
        return [
            {"params": first.parameters(), "lr": rate(RATE)},
            {"params": second.parameters(), "lr": rate(3 * RATE), "betas": (0.5, 0.9)},
        ]

    ours, alone = PROBLEMS["network"](), PROBLEMS["network"]()
    base = torch.optim.Adam(groups(ours))
    train(ours, ALSALS.around(base, **FIXED), range(30))
    train_alone(alone, torch.optim.Adam(groups(alone)), range(30))
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)
    assert [type(group["lr"]) for group in base.param_groups] == [
        Tensor if as_tensor else float
    ] * 2
    assert [float(group["lr"]) for group in base.param_groups] == [RATE, 3 * RATE]


def test_a_group_with_a_rate_of_0_stays() -> None:
    module = PROBLEMS["network"]()
    first, second = module.layers[0], module.layers[2]
    base = torch.optim.Adam(
        [{"params": first.parameters(), "lr": 0.0}, {"params": second.parameters(), "lr": RATE}]
    )
    before = vector_of(first), vector_of(second)
    train(module, ALSALS.around(base), range(3))
    assert (vector_of(first) == before[0]).all()
    assert (vector_of(second) != before[1]).any()


@pytest.mark.parametrize("foreach", [None, True, False])
def test_an_empty_group_and_a_parameter_without_gradient_stay(foreach: bool | None) -> None:
    module, unused = PROBLEMS["network"](), nn.Parameter(torch.ones(3))
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    base = torch.optim.AdamW(
        [{"params": []}, {"params": [*module.parameters(), unused, frozen]}],
        weight_decay=0.5,
        foreach=foreach,
    )
    losses = train(module, ALSALS.around(base, foreach=foreach), range(20))
    assert losses[-1] < losses[0]
    assert (unused == 1).all()
    assert (frozen == 1).all()


def test_complex_parameters_walk_as_the_base_alone() -> None:
    def build() -> nn.Parameter:
        return nn.Parameter(torch.tensor([1 + 2j, -3 + 0.5j], dtype=torch.complex128))

    ours, alone = build(), build()
    optimizer = ALSALS.around(torch.optim.Adam([ours], lr=RATE), **FIXED)
    base = torch.optim.Adam([alone], lr=RATE)
    for _ in range(20):
        optimizer.step(lambda: (ours.abs() ** 2).sum())
        base.zero_grad()
        (alone.abs() ** 2).sum().backward()
        base.step()
    torch.testing.assert_close(ours, alone, rtol=1e-12, atol=1e-12)


def test_a_new_group_goes_to_the_base_with_its_settings() -> None:
    module = PROBLEMS["network"]()
    first, second = module.layers[0], module.layers[2]
    base = torch.optim.Adam(first.parameters(), lr=RATE)
    optimizer = ALSALS.around(base)
    train(module, optimizer, range(2))
    optimizer.add_param_group({"params": second.parameters(), "lr": 2 * RATE, "betas": (0.5, 0.9)})
    before = vector_of(second)
    train(module, optimizer, range(2, 4))
    assert base.param_groups[1]["betas"] == (0.5, 0.9)
    assert optimizer.param_groups[1]["base_lr"] == 2 * RATE
    assert (vector_of(second) != before).all()


@pytest.mark.parametrize("wrong", [{"lr": "fast"}, {"maximize": True}, {"params": "known"}])
def test_a_group_that_is_refused_changes_neither(wrong: dict[str, Any]) -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.Adam(module.layers[0].parameters())
    optimizer = ALSALS.around(base)
    known = "params" in wrong
    layer = module.layers[0 if known else 2]
    with pytest.raises((TypeError, ValueError)):
        optimizer.add_param_group({**wrong, "params": list(layer.parameters())})
    assert len(base.param_groups) == len(optimizer.param_groups) == 1
    train(module, optimizer, range(2))


def test_a_group_that_the_base_alone_got_is_named() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.Adam(module.layers[0].parameters())
    optimizer = ALSALS.around(base)
    base.add_param_group({"params": module.layers[2].parameters()})
    with pytest.raises(RuntimeError, match="groups of Adam have changed; add groups to the line"):
        train(module, optimizer, range(1))


def test_names_of_parameters_are_passed_on() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS.around(torch.optim.Adam(module.named_parameters()))
    assert optimizer.param_groups[0]["param_names"] == [n for n, _ in module.named_parameters()]


# -------------------------------------------------------------------------------- the base's state


@each_base("Adam", "SGD-momentum", "Lion", "CountsInItsGroups")
@pytest.mark.parametrize("rule", [ALSALS, SaLSA, PeakSLS])
def test_the_base_steps_once_whatever_the_number_of_trials(rule: Any, make: MakeBase) -> None:
    module = PROBLEMS["rosenbrock"]()
    base = make(module.parameters(), lr=RATE)
    seen: list[str] = []
    base.register_step_pre_hook(lambda *_: seen.append("pre"))
    base.register_step_post_hook(lambda *_: seen.append("post"))
    optimizer = rule.around(base, **({} if rule is PeakSLS else {"init_step": 10.0}))
    train(module, optimizer, range(20))
    assert seen == ["pre", "post"] * 20


def test_the_bases_moments_are_those_of_one_step_after_many_trials() -> None:
    ours, alone = PROBLEMS["network"](), PROBLEMS["network"]()
    base, adam = torch.optim.Adam(ours.parameters()), torch.optim.Adam(alone.parameters())
    optimizer = ALSALS.around(base, init_step=10.0)
    train(ours, optimizer, range(1))
    train_alone(alone, adam, range(1))
    assert optimizer.last_step.trials > 5
    assert_same(base.state_dict()["state"], adam.state_dict()["state"])


def failures() -> Iterator[Any]:
    def nothing_is_finite(module: nn.Module, k: int) -> Tensor:
        return module(k) * float("nan")

    def trials_rise(module: nn.Module, k: int) -> Tensor:
        return module(k) if torch.is_grad_enabled() else module(k) + 1e3

    def trials_raise(module: nn.Module, k: int) -> Tensor:
        if not torch.is_grad_enabled():
            raise KeyError("out of the middle of a search")
        return module(k)

    def gradient_is_not_finite(module: nn.Module, k: int) -> Tensor:
        loss = module(k)
        if loss.requires_grad:
            loss.register_hook(lambda grad: grad * float("inf"))
        return loss

    for loss in (nothing_is_finite, trials_rise, trials_raise, gradient_is_not_finite):
        yield pytest.param(loss, id=loss.__name__)


@pytest.mark.parametrize("steps_before", [0, 5])
@pytest.mark.parametrize("loss", list(failures()))
@each_base("Adam", "Adam-fused", "AdamW-amsgrad", "NAdam", "SGD-momentum", "Lion",
           "CountsInItsGroups")  # fmt: skip
def test_a_failed_step_leaves_no_trace_in_the_base(
    make: MakeBase, loss: Any, steps_before: int
) -> None:
    module = PROBLEMS["network"]()
    base = make(module.parameters(), lr=RATE)
    optimizer = ALSALS.around(base, max_trials=5)
    train(module, optimizer, range(steps_before))
    before = state_of(base), vector_of(module)
    try:
        optimizer.step(lambda: loss(module, steps_before))
    except KeyError:
        pass
    else:
        assert not optimizer.last_step.status.moved
    assert_same(base.state_dict(), before[0])
    assert (vector_of(module) == before[1]).all()


def test_the_base_goes_back_with_the_peaks_parameters() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.Adam(module.parameters())
    optimizer = PeakSLS.around(base)
    train(module, optimizer, range(3))
    before = state_of(base)
    optimizer.step(lambda: module(3) * (float("nan") if torch.is_grad_enabled() else 1.0))
    assert optimizer.last_step.status is Status.LOWERED
    assert_same(base.state_dict(), before)


def test_a_base_that_raises_moves_nothing() -> None:
    class Raises(Lion):
        def step(self, closure: Any = None) -> None:
            super().step()
            raise KeyError("after its step")

    module = PROBLEMS["network"]()
    base = Raises(module.parameters())
    optimizer = ALSALS.around(base)
    before = state_of(base), vector_of(module)
    with pytest.raises(KeyError):
        train(module, optimizer, range(1))
    assert_same(base.state_dict(), before[0])
    assert (vector_of(module) == before[1]).all()


def test_no_copy_outlives_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []
    finish = sls.around.Reading.finish
    monkeypatch.setattr(
        sls.around.Reading, "finish", lambda self: (readings.append(self), finish(self))
    )
    module = PROBLEMS["network"]()
    optimizer = ALSALS.around(torch.optim.Adam(module.parameters()))
    train(module, optimizer, range(2))
    optimizer.step(lambda: module(2) * float("nan"))
    assert len(readings) == 3
    assert optimizer.reading is None
    assert not any(isinstance(x, Tensor) for r in readings for x in leaves(vars(r)))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "_base":
                yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_the_held_peak_takes_no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    module = PROBLEMS["network"]()
    optimizer = PeakSLS.around(torch.optim.Adam(module.parameters()), total_steps=20)
    train(module, optimizer, range(10))
    assert optimizer.search_state.peak.held
    monkeypatch.setattr(sls.around, "Snapshot", None)
    train(module, optimizer, range(10, 20))


# --------------------------------------------------------------------------- saving and resuming


@pytest.mark.parametrize(
    ("rule", "steps"), [(ALSALS, 7), (SaLSA, 15), (PeakSLS, 5), (PeakSLS, 30), (PeakSLS, 90)]
)
@each_base("AdamW", "NAdam", "SGD-nesterov", "Lion", "CountsInItsGroups")
def test_a_resumed_run_equals_the_uninterrupted_one(make: MakeBase, rule: Any, steps: int) -> None:
    def build() -> tuple[nn.Module, Any, Any]:
        module = PROBLEMS["network"]()
        base = make(module.parameters(), lr=RATE)
        scheduler = CosineAnnealingLR(base, T_max=200)
        return module, rule.around(base), scheduler

    def go(module: nn.Module, optimizer: Any, scheduler: Any, steps: range) -> list[float]:
        losses = []
        for k in steps:
            losses += train(module, optimizer, range(k, k + 1))
            scheduler.step()
        return losses

    run, again = build(), build()
    go(*run, range(steps))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in run], file)
    file.seek(0)
    for part, state in zip(again, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    assert go(*again, range(steps, steps + 20)) == go(*run, range(steps, steps + 20))
    assert (vector_of(again[0]) == vector_of(run[0])).all()


def test_two_bases_resume_together() -> None:
    def build() -> tuple[nn.Module, Any]:
        module = PROBLEMS["network"]()
        return module, ALSALS.around(*halves(module, muon, adamw))

    (module, optimizer), (other, resumed) = build(), build()
    train(module, optimizer, range(5))
    other.load_state_dict(module.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(other, resumed, range(5, 15)) == train(module, optimizer, range(5, 15))


@pytest.mark.parametrize("rule", [ALSALS, PeakSLS])
def test_copied_and_pickled_optimizers_go_on(rule: Any) -> None:
    module = PROBLEMS["network"]()
    optimizer = rule.around(Lion(module.parameters()))
    train(module, optimizer, range(3))
    copied = copy.deepcopy((module, optimizer))
    pickled = pickle.loads(pickle.dumps((module, optimizer)))
    expected = train(module, optimizer, range(3, 8))
    assert train(*copied, range(3, 8)) == train(*pickled, range(3, 8)) == expected


@pytest.mark.parametrize(
    ("saved", "loaded", "message"),
    [
        (ALSALS, lambda p: ALSALS.around(Lion(p)), "is ALSALS's own, not one around Lion"),
        (
            lambda p: ALSALS.around(Lion(p)),
            ALSALS,
            r"was saved around Lion; build ALSALS\.around\(Lion\(…\)\)",
        ),
        (
            lambda p: ALSALS.around(torch.optim.AdamW(p)),
            lambda p: ALSALS.around(torch.optim.NAdam(p)),
            "was saved around AdamW, not around NAdam",
        ),
    ],
)
def test_the_state_of_another_pair_is_refused(saved: Any, loaded: Any, message: str) -> None:
    module = PROBLEMS["network"]()
    state = saved(module.parameters()).state_dict()
    with pytest.raises(ValueError, match=message):
        loaded(module.parameters()).load_state_dict(state)


# -------------------------------------------------------------------------------------- schedulers


RATES = st.lists(
    st.tuples(st.just(0.0) | st.floats(1e-6, 1e3), st.just(0.0) | st.floats(1e-3, 1.0)),
    min_size=1,
    max_size=4,
).filter(lambda rates: any(initial > 0 for initial, _ in rates))


@given(rates=RATES)
def test_factor_and_rates_of_groups_make_up_their_learning_rates(
    rates: list[tuple[float, float]],
) -> None:
    params = [nn.Parameter(torch.ones(1)) for _ in rates]
    base = torch.optim.SGD(
        [{"params": [p], "lr": initial} for p, (initial, _) in zip(params, rates, strict=True)]
    )
    optimizer = ALSALS.around(base)
    for group, (initial, share) in zip(base.param_groups, rates, strict=True):
        group["lr"] = initial * share
    with optimizer.base.reading(optimizer.param_groups) as reading:
        optimizer.base.optimizers[0].step = lambda: seen.extend(
            group["lr"] for group in base.param_groups
        )
        seen: list[float] = []
        for p in params:
            p.grad = torch.ones(1)
        reading.searched(GroupTensors(optimizer.param_groups[0], {}))
    reference = next(initial for initial, _ in rates if initial > 0)
    for rate, (initial, share) in zip(seen, rates, strict=True):
        if reading.factor > 0:
            assert rate * reading.factor * reference == pytest.approx(initial * share, rel=1e-12)
        else:
            assert rate * reference == pytest.approx(initial, rel=1e-12)
    moved = [share for initial, share in rates if initial > 0]
    assert reading.factor == pytest.approx(max(moved), rel=1e-12)


@pytest.mark.parametrize("first", ["scheduler", "search"])
def test_schedulers_of_the_base_scale_the_step(first: str) -> None:
    def warm_up_and_decay(k: int) -> float:
        return (k + 1) / 10 if k < 10 else 1 - (k - 9) / 30

    ours, alone = PROBLEMS["network"](), PROBLEMS["network"]()
    base = torch.optim.AdamW(ours.parameters(), lr=RATE)
    other = torch.optim.AdamW(alone.parameters(), lr=RATE)
    if first == "scheduler":
        scheduler = LambdaLR(base, warm_up_and_decay)
        optimizer = ALSALS.around(base, **FIXED)
    else:
        optimizer = ALSALS.around(base, **FIXED)
        scheduler = LambdaLR(base, warm_up_and_decay)
    others_scheduler = LambdaLR(other, warm_up_and_decay)
    for k in range(35):
        train(ours, optimizer, range(k, k + 1))
        assert optimizer.last_step.factor == pytest.approx(warm_up_and_decay(k))
        scheduler.step()
        train_alone(alone, other, range(k, k + 1))
        others_scheduler.step()
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


def test_the_search_remembers_the_step_before_the_schedule() -> None:
    module, plain = PROBLEMS["network"](), PROBLEMS["network"]()
    base = torch.optim.Adam(module.parameters())
    LambdaLR(base, lambda k: 0.25)
    scaled, unscaled = ALSALS.around(base), ALSALS(plain.parameters())
    before = vector_of(module)
    train(module, scaled, range(1))
    train(plain, unscaled, range(1))
    assert scaled.last_step.step_size == pytest.approx(unscaled.last_step.step_size, rel=1e-12)
    moved, full = vector_of(module) - before, vector_of(plain) - before
    assert moved == pytest.approx(0.25 * full, rel=1e-9, abs=1e-12)


def test_groups_may_have_schedules_of_their_own() -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        module = PROBLEMS["network"]()
        base = torch.optim.AdamW([{"params": [p]} for p in module.parameters()], lr=RATE)
        schedules = [lambda k, i=i: (1 - k / 40) ** i for i in range(4)]
        return module, base, LambdaLR(base, schedules)

    (ours, base, scheduler), (alone, other, others_scheduler) = build(), build()
    optimizer = ALSALS.around(base, **FIXED)
    for k in range(30):
        train(ours, optimizer, range(k, k + 1))
        scheduler.step()
        train_alone(alone, other, range(k, k + 1))
        others_scheduler.step()
    for x, y in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


def test_at_a_rate_of_0_nothing_moves_but_the_moments() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.Adam(module.parameters())
    optimizer = ALSALS.around(base)
    before = vector_of(module)
    base.param_groups[0]["lr"] = 0.0
    train(module, optimizer, range(1))
    assert (vector_of(module) == before).all()
    assert {int(state["step"]) for state in base.state.values()} == {1}


def test_a_schedule_and_annealing_multiply() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.Adam(module.parameters())
    LambdaLR(base, lambda k: 0.5)
    optimizer = ALSALS.around(base, total_steps=4, anneal=1.0)
    train(module, optimizer, range(2))
    assert optimizer.last_step.factor == 0.5 * 0.75


def test_a_schedule_that_raises_the_rate_is_refused_before_anything_moves() -> None:
    module = PROBLEMS["network"]()
    base = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    optimizer = ALSALS.around(base)
    scheduler = OneCycleLR(base, max_lr=0.1, total_steps=20)  # starts at 0.004
    train(module, optimizer, range(1))
    base.param_groups[0]["lr"] = 0.2
    before = state_of(base), vector_of(module)
    with pytest.raises(ValueError, match=r"lr of parameter group 0 of SGD is 0\.2, and was 0\.1"):
        train(module, optimizer, range(1))
    assert scheduler.last_epoch == 0
    assert_same(base.state_dict(), before[0])
    assert (vector_of(module) == before[1]).all()


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (torch.optim.LBFGS, "around LBFGS is not possible: its step needs a closure"),
        (schedulefree.AdamWScheduleFree, r"AdamWScheduleFree .*: it has train\(\) and eval\(\)"),
        (schedulefree.SGDScheduleFreeClosure, "SGDScheduleFreeClosure is not possible"),
        (torch.optim.ASGD, "around ASGD is not possible: it averages"),
        (torch.optim.Adafactor, "Adafactor .*: its step is not proportional to its lr"),
        (torch.optim.Rprop, "Rprop .*: its step is not proportional to its lr"),
        (ALSALS, "ALSALS finds its step itself"),
        (lambda params: torch.optim.AdamW, r"as torch.optim.AdamW\(model.*; got AdamW"),
        (lambda params: list(params), "around takes a torch optimizer .*; got list"),
    ],
)
def test_an_optimizer_that_gives_no_direction_is_refused(make: Any, message: str) -> None:
    module = PROBLEMS["network"]()
    with pytest.raises(TypeError, match=message):
        ALSALS.around(make(module.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"maximize": True}, "maximize of parameter group 0 of Adam must be False"),
        ({"differentiable": True}, "differentiable of parameter group 0 of Adam must be False"),
        ({"lr": 0.0}, "every lr of Adam is 0"),
    ],
)
def test_a_setting_of_the_base_that_gives_no_direction_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    module = PROBLEMS["network"]()
    with pytest.raises(ValueError, match=message):
        ALSALS.around(torch.optim.Adam(module.parameters(), **settings))


def test_an_optimizer_without_a_learning_rate_is_refused() -> None:
    module = PROBLEMS["network"]()
    base = Lion(module.parameters())
    base.param_groups[0]["lr"] = None
    with pytest.raises(ValueError, match="lr of parameter group 0 of Lion must be a number"):
        ALSALS.around(base)


@pytest.mark.parametrize("name", ["betas", "eps", "weight_decay", "direction"])
def test_settings_of_the_base_are_not_taken_here(name: str) -> None:
    base = torch.optim.AdamW(PROBLEMS["network"]().parameters())
    with pytest.raises(ValueError, match=rf"{name} is AdamW's own: set it there, not in PeakSLS"):
        PeakSLS.around(base, **{name: 0.1})


def test_a_misspelt_setting_is_refused_by_name() -> None:
    base = torch.optim.AdamW(PROBLEMS["network"]().parameters())
    with pytest.raises(TypeError, match="did you mean 'max_trials'"):
        ALSALS.around(base, max_trial=3)


def test_the_base_class_names_the_rules_to_choose_from() -> None:
    base = torch.optim.AdamW(PROBLEMS["network"]().parameters())
    with pytest.raises(TypeError, match=r"ALSALS\.around\(optimizer\) or PeakSLS\.around"):
        LineSearch.around(base)


def test_two_bases_with_the_same_parameter_are_refused() -> None:
    module = PROBLEMS["network"]()
    one, other = (BASES["Adam"](module.parameters(), lr=RATE) for _ in range(2))
    with pytest.raises(ValueError, match="more than one parameter group"):
        ALSALS.around(one, other)


def test_a_new_group_for_one_of_two_bases_is_refused() -> None:
    module, more = PROBLEMS["network"](), nn.Parameter(torch.ones(1))
    optimizer = ALSALS.around(*halves(module, muon, adamw))
    with pytest.raises(ValueError, match="could go to any of Muon and AdamW"):
        optimizer.add_param_group({"params": [more]})
