"""Code written for the earlier package runs as it is."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from sls import ALSALS, PLASLS, Status, old_code
from sls import AdamSLS as AdamSLSToday
from sls.adam_sls import AdamSLS, KenSLS
from sls.ken_sls import KenSLS as KenSLSAlone
from sls.old_code import OldNameWarning
from tests.sls.problems import SmallNetwork, vector_of
from tests.sls.test_plasls import by_module
from tests.sls.test_twins import walk

STEPS = 40


@pytest.fixture(autouse=True)
def said_already() -> Iterator[None]:
    """The warning of the name is one of the process; here it has been given."""
    old_code._names_warned_of.add("KenSLS")
    yield
    old_code._names_warned_of.add("KenSLS")


OLD: dict[str, Callable[[SmallNetwork], Any]] = {
    "KenSLS": lambda module: KenSLS([module.parameters()]),
    "AdamSLS": lambda module: AdamSLS([module.parameters()]),
    "AdamSLS of units": lambda module: AdamSLS(by_module(module)),
}
NEW: dict[str, Callable[[SmallNetwork], Any]] = {
    "KenSLS": lambda module: ALSALS.paper(module.parameters()),
    "AdamSLS": lambda module: AdamSLSToday(module.parameters()),
    "AdamSLS of units": lambda module: PLASLS(by_module(module)),
}
each_name = pytest.mark.parametrize("name", OLD)


def old_loop(
    optimizer: Any, module: SmallNetwork, step: Callable[..., Tensor], steps: int = STEPS
) -> list[tuple[Any, Any]]:
    """Training as the earlier package's readme has it; `step` calls `optimizer.step`."""
    history = []
    for k in range(steps):
        optimizer.zero_grad()

        def closure(k: int = k) -> Tensor:
            loss: Tensor = module(k)
            return loss

        def closure_with_backward(k: int = k) -> Tensor:
            loss: Tensor = module(k)
            loss.backward()
            return loss

        step(optimizer, closure, closure_with_backward)
        history.append((vector_of(module), optimizer.last_step))
    return history


CALLS: dict[str, Callable[..., Tensor]] = {
    "closure": lambda o, closure, _: o.step(closure=closure),
    "both": lambda o, closure, both: o.step(closure=closure, closure_with_backward=both),
    "both by position": lambda o, closure, both: o.step(closure, both),
    "none with backward": lambda o, closure, _: o.step(closure, closure_with_backward=None),
}


@pytest.mark.parametrize("call", CALLS)
@each_name
def test_old_calls_give_what_new_ones_give_to_the_bit(name: str, call: str) -> None:
    module, other = SmallNetwork(), SmallNetwork()
    history = old_loop(OLD[name](module), module, CALLS[call])
    expected = walk(NEW[name](other), other, STEPS)
    for (w, record), (w_expected, record_expected) in zip(history, expected, strict=True):
        assert (w == w_expected).all()
        assert record == record_expected


@each_name
def test_a_step_returns_the_loss_before_it(name: str) -> None:
    module = SmallNetwork()
    optimizer = OLD[name](module)
    before = module(0).detach()
    loss = optimizer.step(closure=lambda: module(0), closure_with_backward=lambda: module(0))
    assert torch.equal(loss, before)


@each_name
def test_a_closure_with_backward_alone_is_enough(name: str) -> None:
    module = SmallNetwork()

    def closure_with_backward() -> Tensor:
        loss: Tensor = module(0)
        if torch.is_grad_enabled():
            loss.backward()
        return loss

    optimizer = OLD[name](module)
    optimizer.step(closure_with_backward=closure_with_backward)
    assert optimizer.last_step.status is Status.ACCEPTED


@each_name
def test_the_closure_with_backward_runs_once_and_the_other_in_trials(name: str) -> None:
    module = SmallNetwork()
    optimizer = OLD[name](module)
    calls: list[str] = []

    def closure() -> Tensor:
        calls.append("forward")
        return module(0)

    def closure_with_backward() -> Tensor:
        calls.append("backward")
        loss: Tensor = module(0)
        loss.backward()
        return loss

    optimizer.step(closure=closure, closure_with_backward=closure_with_backward)
    assert calls == ["backward"] + ["forward"] * (optimizer.last_step.forwards - 1)


def copied(optimizer: Any) -> Any:
    return copy.deepcopy(optimizer)


def loaded(optimizer: Any) -> Any:
    optimizer.load_state_dict(optimizer.state_dict())
    return optimizer


@pytest.mark.parametrize("change", [copied, loaded])
@each_name
def test_two_closures_are_taken_by_a_copied_or_loaded_optimizer(
    name: str, change: Callable[[Any], Any]
) -> None:
    module = SmallNetwork()
    optimizer = change(OLD[name](module))
    group = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    loss = optimizer.step(
        closure=lambda: sum(p.square().sum() for p in group.values()),
        closure_with_backward=lambda: sum(p.square().sum() for p in group.values()),
    )
    assert float(loss) > 0
    assert len(optimizer._optimizer_step_pre_hooks) == 1


def test_a_wrong_argument_of_step_is_still_refused() -> None:
    module = SmallNetwork()
    with pytest.raises(TypeError, match="closure_with_forward"):
        OLD["AdamSLS"](module).step(lambda: module(0), closure_with_forward=lambda: module(0))


def test_a_step_without_a_closure_still_shows_how_to_write_one() -> None:
    with pytest.raises(TypeError, match=r"loss = optimizer\.step"):
        OLD["AdamSLS"](SmallNetwork()).step(closure=None, closure_with_backward=None)


def test_lists_of_parameters_are_units_of_adam_sls() -> None:
    module = SmallNetwork()
    assert AdamSLS(by_module(module)).has_units
    assert not AdamSLS([module.parameters()]).has_units
    assert not AdamSLS([{"params": unit} for unit in by_module(module)]).has_units


def test_ken_sls_has_the_papers_settings() -> None:
    papers = ALSALS.paper(SmallNetwork().parameters()).defaults
    assert KenSLS([SmallNetwork().parameters()]).defaults == papers


def test_ken_sls_takes_the_settings_of_alsals() -> None:
    optimizer = KenSLS([SmallNetwork().parameters()], c=0.5, slope="exact", total_steps=10)
    group = optimizer.param_groups[0]
    assert (group["c"], group["slope"], group["total_steps"]) == (0.5, "exact", 10)


def test_ken_sls_has_one_step_for_all_lists() -> None:
    module = SmallNetwork()
    optimizer = KenSLS(by_module(module))
    for k in range(10):
        optimizer.step(lambda k=k: module(k))
    assert len(optimizer.param_groups) == 2
    assert len({group["lr"] for group in optimizer.param_groups}) == 1


def test_an_unknown_setting_of_ken_sls_is_named() -> None:
    with pytest.raises(TypeError, match="KenSLS has no setting 'strategy'"):
        KenSLS([SmallNetwork().parameters()], strategy="cycle")


def test_both_imports_are_one_class() -> None:
    assert KenSLS is KenSLSAlone


def test_ken_sls_says_once_what_it_is() -> None:
    old_code._names_warned_of.discard("KenSLS")
    with pytest.warns(OldNameWarning, match=r"^KenSLS is ALSALS .* sls\.ALSALS\.paper") as said:
        KenSLS([SmallNetwork().parameters()])
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KenSLS([SmallNetwork().parameters()])


def test_the_name_can_be_used_in_silence() -> None:
    old_code._names_warned_of.discard("KenSLS")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", OldNameWarning)
        KenSLS([SmallNetwork().parameters()])
    assert "KenSLS" in old_code._names_warned_of
