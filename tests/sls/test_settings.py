"""Settings, parameter groups and kinds of parameters: taken, or refused with a clear error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, PLASLS, SLS, AdamSLS, LineSearch, PeakSLS, SaLSA, Status
from tests.sls.optimizers import Make, each_optimizer, each_own
from tests.sls.problems import SmallNetwork

SEARCHES: list[type[Any]] = [SLS, AdamSLS, PLASLS, ALSALS, SaLSA]
CLASSES: list[type[Any]] = [*SEARCHES, PeakSLS]
WITH_MOMENTS: list[type[Any]] = [AdamSLS, PLASLS, ALSALS, SaLSA, PeakSLS]
each_class = pytest.mark.parametrize("cls", CLASSES)

OUT_OF_RANGE: dict[str, list[Any]] = {
    "c": [0, 1, -0.1, 1.5, math.nan, "0.3", None, True],
    "init_step": [0, -1e-3, math.inf, math.nan, "0.1", None, True],
    "shrink": [0, 1, -0.5, 1.1, math.nan, True],
    "growth": [0.999, 0, -2, math.inf, math.nan, None, True],
    "n_batches_per_epoch": [0, -1, 2.5, "10", None, True],
    "max_trials": [0, -1, 2.5, math.inf, None, True],
    "interpolate": ["yes", None, 2],
    "min_step": [-1e-9, math.inf, math.nan, None, False],
    "tolerance": [-1, math.inf, math.nan, None, True],
    "betas": [(0.9,), (0.9, 1.0), (-0.1, 0.9), (0.9, 0.99, 0.999), 0.9, (0.9, None), (True, 0.9)],
    "beta3": [1, -0.1, math.nan, None, True],
    "eps": [-1e-8, math.inf, math.nan, None, True],
    "slope": ["Exact", "", None],
    "smoothing": ["Ratio", "", None],
    "direction": ["rmsprop", None],
    "search": ["sometimes", None],
    "max_extra_forwards": [0, -0.1, math.inf, math.nan, None, True],
    "weight_decay": [-0.01, math.inf, math.nan, None, True],
    "total_steps": [0, -5, 10.0, "100", True],
    "anneal": [0, -0.5, 1.1, math.nan, None, True],
    "averaging": ["yes", None, 2],
    "max_grad_norm": [0, -1.0, math.inf, math.nan, "1", True],
    "foreach": ["yes", 2],
}

WRONG_SETTINGS = [
    pytest.param(cls, name, value, id=f"{cls.__name__}-{name}-{value}")
    for cls in CLASSES
    for name in cls([nn.Parameter(torch.ones(1))]).defaults
    for value in OUT_OF_RANGE.get(name, [])
]


def one_parameter() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


def half_square(*params: Tensor) -> Callable[[], Tensor]:
    return lambda: sum(((param.abs() ** 2).sum() / 2 for param in params), torch.zeros(()))


def status_of(optimizer: LineSearch) -> Status:
    assert optimizer.last_step is not None
    return optimizer.last_step.status


# --- settings ------------------------------------------------------------------------------------


@each_class
def test_every_setting_has_values_that_are_out_of_range(cls: type[Any]) -> None:
    settings = set(cls([torch.nn.Parameter(torch.ones(1))]).defaults)
    assert settings <= OUT_OF_RANGE.keys() | {"differentiable", "lr"}


@pytest.mark.parametrize(("cls", "name", "value"), WRONG_SETTINGS)
def test_a_setting_out_of_range_is_refused_by_name(cls: type[Any], name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} of {cls.__name__} must be ") as caught:
        cls(one_parameter(), **{name: value})
    assert str(caught.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("cls", SEARCHES)
def test_an_unknown_keyword_is_refused(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match=r"no setting 'max_trial'; did you mean 'max_trials'\?"):
        cls(one_parameter(), max_trial=5)


@each_class
def test_lr_is_no_setting(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match="lr"):
        cls(one_parameter(), lr=0.1)


@each_class
def test_settings_are_keywords_only(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match="positional"):
        cls(one_parameter(), 0.3)


# --- groups --------------------------------------------------------------------------------------


@each_optimizer
def test_an_empty_parameter_list_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        make([])


@each_own
def test_an_unknown_key_in_a_group_is_refused_with_the_nearest(make: Make) -> None:
    group = {"params": one_parameter(), "weight_decya": 0.1}
    with pytest.raises(ValueError, match=r"group 0.*'weight_decya'.*did you mean 'weight_decay'"):
        make([group])


@each_own
def test_lr_in_a_group_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=r"lr of parameter group 0.*init_step"):
        make([{"params": one_parameter(), "lr": 0.1}])


@each_own
def test_a_setting_out_of_range_in_a_group_is_refused(make: Make) -> None:
    groups: list[dict[str, Any]] = [
        {"params": one_parameter()},
        {"params": one_parameter(), "weight_decay": -1},
    ]
    with pytest.raises(ValueError, match="weight_decay of parameter group 1 must be"):
        make(groups)


@each_own
def test_a_shared_setting_that_differs_in_a_group_is_refused(make: Make) -> None:
    groups: list[dict[str, Any]] = [
        {"params": one_parameter()},
        {"params": one_parameter(), "init_step": 0.77},
    ]
    with pytest.raises(ValueError, match=r"init_step must be the same in all .*group 1.*0\.77"):
        make(groups)


def test_a_shared_setting_that_agrees_in_a_group_is_accepted() -> None:
    groups: list[dict[str, Any]] = [
        {"params": one_parameter(), "c": 0.4},
        {"params": one_parameter()},
    ]
    assert [group["c"] for group in ALSALS(groups, c=0.4).param_groups] == [0.4, 0.4]


@each_optimizer
def test_two_groups_with_one_parameter_are_refused(make: Make) -> None:
    params = one_parameter()
    with pytest.raises(ValueError, match="more than one parameter group"):
        make([{"params": params}, {"params": params}])


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
@each_optimizer
def test_a_parameter_twice_in_a_group_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="parameter group 0 holds a parameter twice"):
        make(one_parameter() * 2)


@each_class
def test_weight_decay_of_a_group_is_its_own(cls: type[Any]) -> None:
    def after_a_step(weight_decay: float) -> tuple[Tensor, Tensor, float]:
        plain, decayed = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([3.0]))
        groups: list[dict[str, Any]] = [
            {"params": [plain]},
            {"params": [decayed], "weight_decay": weight_decay},
        ]
        optimizer = cls(groups, init_step=0.1)
        optimizer.step(half_square(plain, decayed))
        return plain.detach(), decayed.detach(), optimizer.param_groups[0]["lr"]

    plain, decayed, step_size = after_a_step(0.5)
    expected_plain, without_decay, expected_step_size = after_a_step(0.0)
    assert step_size == expected_step_size
    assert torch.equal(plain, expected_plain)
    torch.testing.assert_close(decayed, without_decay - step_size * 0.5 * 3)


def test_weight_decay_of_a_step_without_a_search_is_that_of_one_with() -> None:
    param = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = SLS([param], search="adaptive", init_step=0.01, weight_decay=0.5)
    statuses = set()
    for _ in range(30):
        w = param.detach().clone()
        optimizer.step(half_square(param))
        step_size = optimizer.param_groups[0]["lr"]
        # The gradient is w.
        torch.testing.assert_close(param.detach(), w - step_size * w - step_size * 0.5 * w)
        statuses.add(status_of(optimizer))
    assert statuses == {Status.ACCEPTED, Status.REPEATED}


@pytest.mark.parametrize("cls", WITH_MOMENTS)
def test_betas_of_a_group_are_its_own(cls: type[Any]) -> None:
    first, second = one_parameter() + one_parameter()
    optimizer = cls([{"params": [first]}, {"params": [second], "betas": (0.5, 0.75)}])
    optimizer.step(half_square(first, second))
    for param, (beta1, beta2) in ((first, (0.9, 0.999)), (second, (0.5, 0.75))):
        assert param.grad is not None
        torch.testing.assert_close(optimizer.state[param]["exp_avg"], (1 - beta1) * param.grad)
        torch.testing.assert_close(
            optimizer.state[param]["exp_avg_sq"], (1 - beta2) * param.grad**2
        )


def test_eps_of_a_group_is_its_own() -> None:
    first, second = one_parameter() + one_parameter()
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second], "eps": 1.0}]
    optimizer = ALSALS(groups, init_step=0.1)
    optimizer.step(half_square(first, second))
    # The first direction is g/(|g| + ε), and g = 1.
    step_size = optimizer.param_groups[0]["lr"]
    torch.testing.assert_close(first.detach(), torch.full((2,), 1 - step_size))
    torch.testing.assert_close(second.detach(), torch.full((2,), 1 - step_size / 2))


@each_optimizer
def test_named_parameters_train_as_unnamed_ones(make: Make) -> None:
    named, plain = SmallNetwork(), SmallNetwork()
    with_names, without = make(named.named_parameters()), make(plain.parameters())
    for k in range(3):
        with_names.step(lambda k=k: named(k))
        without.step(lambda k=k: plain(k))
    assert with_names.param_groups[0]["param_names"][0] == "layers.0.weight"
    for param, expected in zip(named.parameters(), plain.parameters(), strict=True):
        assert torch.equal(param, expected)


@each_optimizer
def test_a_group_added_later_trains(make: Make) -> None:
    first, second = one_parameter() + one_parameter()
    optimizer = make([first])
    optimizer.step(half_square(first, second))
    assert torch.equal(second, torch.ones(2))
    optimizer.add_param_group({"params": [second], "weight_decay": 0.01})
    assert optimizer.param_groups[1]["lr"] == optimizer.param_groups[0]["lr"]
    optimizer.step(half_square(first, second))
    assert bool((second < 1).all())
    assert optimizer.param_groups[1]["lr"] == optimizer.param_groups[0]["lr"]


@each_own
def test_a_group_added_later_is_checked_and_a_refused_one_leaves_no_trace(make: Make) -> None:
    optimizer = make(one_parameter())
    for wrong in ({"betsa": 1}, {"lr": 1.0}, {"weight_decay": -1}, {"max_trials": 7}):
        with pytest.raises(ValueError, match="parameter group 1"):
            optimizer.add_param_group({"params": one_parameter(), **wrong})
    assert len(optimizer.param_groups) == 1


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_an_added_group_with_a_parameter_twice_leaves_no_trace() -> None:
    optimizer = ALSALS(one_parameter())
    with pytest.raises(ValueError, match="parameter group 1 holds a parameter twice"):
        optimizer.add_param_group({"params": one_parameter() * 2})
    assert len(optimizer.param_groups) == 1


# --- kinds of parameters -------------------------------------------------------------------------


@pytest.mark.parametrize("foreach", [None, True, False])
@each_class
def test_an_empty_group_changes_nothing(cls: type[Any], foreach: bool | None) -> None:
    with_empty, plain = SmallNetwork(), SmallNetwork()
    groups: list[dict[str, Any]] = [{"params": []}, {"params": list(with_empty.parameters())}]
    optimizer, expected = cls(groups, foreach=foreach), cls(plain.parameters(), foreach=foreach)
    for k in range(3):
        optimizer.step(lambda k=k: with_empty(k))
        expected.step(lambda k=k: plain(k))
    assert optimizer.last_step == expected.last_step
    for param, other in zip(with_empty.parameters(), plain.parameters(), strict=True):
        assert torch.equal(param, other)


@each_optimizer
def test_frozen_parameters_and_those_without_gradient_stay(make: Make) -> None:
    trained, frozen, unused = one_parameter() + one_parameter() + one_parameter()
    frozen.requires_grad_(False)
    optimizer = make([{"params": [unused], "weight_decay": 0.1}, {"params": [frozen, trained]}])
    optimizer.step(half_square(trained, frozen))
    assert status_of(optimizer) is Status.ACCEPTED
    assert torch.equal(frozen, torch.ones(2))
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(trained, torch.ones(2))


@each_optimizer
def test_a_parameter_that_gets_its_first_gradient_later_then_trains(make: Make) -> None:
    first, late = one_parameter() + one_parameter()
    optimizer = make([first, late])
    optimizer.step(half_square(first))
    optimizer.step(half_square(first, late))
    assert bool((late < 1).all())


@each_optimizer
def test_only_frozen_parameters_is_an_error(make: Make) -> None:
    (param,) = one_parameter()
    param.requires_grad_(False)
    with pytest.raises(RuntimeError, match="no parameter of this optimizer"):
        make([param]).step(half_square(param))


@each_optimizer
def test_complex_parameters_walk_as_their_real_views(make: Make) -> None:
    start = torch.tensor([1 + 2j, -0.5 + 0.25j], dtype=torch.complex128)
    minimum = torch.tensor([0.5 - 1j, 2 + 0j], dtype=torch.complex128)
    scales = torch.tensor([[1.0, 3.0], [0.5, 2.0]], dtype=torch.float64)

    def quadratic(real: Tensor) -> Tensor:
        return (scales * (real - torch.view_as_real(minimum)) ** 2).sum()

    z, real = nn.Parameter(start.clone()), nn.Parameter(torch.view_as_real(start).clone())
    optimizer, expected = make([z]), make([real])
    for _ in range(8):
        optimizer.step(lambda: quadratic(torch.view_as_real(z)))
        expected.step(lambda: quadratic(real))
        assert optimizer.last_step == expected.last_step
        torch.testing.assert_close(torch.view_as_real(z.detach()), real.detach())
    assert bool(quadratic(real) < quadratic(torch.view_as_real(start)))


@each_optimizer
def test_sparse_gradients_are_refused(make: Make) -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    before = embedding.weight.detach().clone()
    with pytest.raises(RuntimeError, match="sparse=False"):
        make(embedding.parameters()).step(lambda: embedding(torch.tensor([1, 2])).square().sum())
    assert torch.equal(embedding.weight, before)
