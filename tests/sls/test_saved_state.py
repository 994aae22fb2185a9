"""Saved states: torch's distributed checkpoints, whose a state is, settings that it changes (7)."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import sls
from sls import ALSALS, SLS, AdamSLS, Backtracking, PeakSLS
from sls.ken_sls import KenSLS
from sls.old_code import OldNameWarning
from sls.saved_state import without_empty
from tests.sls.optimizers import EVERY, Make
from tests.sls.problems import PROBLEMS, vector_of


def own_direction(params: Any) -> Backtracking:
    armijo = sls.conditions.Armijo(c=0.1)
    return Backtracking(params, direction=sls.directions.Adam(), condition=armijo)


def around_adagrad(params: Any) -> ALSALS:
    """Around a base that has state before its first step."""
    return ALSALS.around(torch.optim.Adagrad(params, lr=0.1))


def around_two(params: Any) -> PeakSLS:
    params = list(params)
    muon = torch.optim.Muon([p for p in params if p.ndim == 2], lr=0.02)
    return PeakSLS.around(muon, torch.optim.NAdam([p for p in params if p.ndim != 2], lr=0.003))


VARIANTS = ("ALSALS.paper", "ALSALS-ratio", "ALSALS-adaptive", "SaLSA.paper", "PeakSLS-sgd")
"""Of other optimizers here, with nothing of their own to save."""
MAKERS: dict[str, Make] = {
    **{name: make for name, make in EVERY if name not in VARIANTS},
    "Backtracking": own_direction,
    "ALSALS-around-Adagrad": around_adagrad,
    "PeakSLS-around-two": around_two,
}
each_maker = pytest.mark.parametrize("name", MAKERS)
Run = tuple[nn.Module, Any]
RISING, HELD = 5, 90


def new_run(name: str) -> Run:
    module = PROBLEMS["network"]().float()
    module.inputs = [x.float() for x in module.inputs]
    return module, MAKERS[name](module.parameters())


def go(run: Run, steps: range) -> list[float]:
    module, optimizer = run
    return [float(optimizer.step(lambda k=k: module(k))) for k in steps]


def begun(name: str, steps: int) -> Run:
    run = new_run(name)
    go(run, range(steps))
    return run


def assert_goes_on(run: Run, resumed: Run, steps: int) -> None:
    assert go(resumed, range(steps, steps + 6)) == go(run, range(steps, steps + 6))
    assert (vector_of(resumed[0]) == vector_of(run[0])).all()


def by_names(run: Run, fresh: Run, folder: Path) -> None:
    set_optimizer_state_dict(*fresh, copy.deepcopy(get_optimizer_state_dict(*run)))


def flat(run: Run, fresh: Run, folder: Path) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    saved = get_optimizer_state_dict(*run, options=options)
    set_optimizer_state_dict(*fresh, copy.deepcopy(saved), options=options)


def full(run: Run, fresh: Run, folder: Path) -> None:
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    saved = get_optimizer_state_dict(*run, options=options)
    set_optimizer_state_dict(*fresh, copy.deepcopy(saved), options=options)


def files(run: Run, fresh: Run, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of the missing process group
        dcp.save({"optimizer": get_optimizer_state_dict(*run)}, checkpoint_id=folder)
        state = {"optimizer": get_optimizer_state_dict(*fresh)}
        dcp.load(state, checkpoint_id=folder)
    set_optimizer_state_dict(*fresh, state["optimizer"])


Way = Callable[[Run, Run, Path], None]
WAYS: list[Way] = [by_names, flat, full, files]


def can_do(way: Way, name: str, steps: int) -> bool:
    if way is full:  # torch needs a tensor in the state
        return name not in ("SLS", "SaLSA-sgd")
    # A fresh optimizer cannot know that there is an anchor.
    return way is not files or not name.startswith("PeakSLS") or steps in (0, HELD)


CASES = [
    pytest.param(way, name, steps, id=f"{way.__name__}-{name}-{steps}")
    for way in WAYS
    for name in MAKERS
    for steps in (0, RISING, *((HELD,) if name.startswith("PeakSLS") else ()))
    if can_do(way, name, steps)
]


@pytest.mark.parametrize(("way", "name", "steps"), CASES)
def test_torchs_distributed_checkpoints_resume_bit_for_bit(
    way: Way, name: str, steps: int, tmp_path: Path
) -> None:
    run, fresh = begun(name, steps), new_run(name)
    fresh[0].load_state_dict(run[0].state_dict())
    way(run, fresh, tmp_path)
    assert_goes_on(run, fresh, steps)


@pytest.mark.parametrize("way", WAYS)
def test_they_keep_the_float32_average_of_bf16_parameters(way: Way, tmp_path: Path) -> None:
    def new() -> Run:
        model = nn.Linear(5, 2).bfloat16()
        return model, PeakSLS(model.parameters(), averaging=True, total_steps=HELD)

    run, fresh = new(), new()
    for _ in range(HELD):
        run[1].step(lambda: run[0](torch.ones(3, 5, dtype=torch.bfloat16)).float().square().mean())
    way(run, fresh, tmp_path)
    for one, other in zip(run[0].parameters(), fresh[0].parameters(), strict=True):
        loaded = fresh[1].state[other]["average"]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, run[1].state[one]["average"])


@each_maker
def test_the_optimizer_whose_state_torch_asks_for_goes_on_as_if_it_had_not(name: str) -> None:
    asked, plain = new_run(name), new_run(name)
    get_optimizer_state_dict(*asked)
    assert_goes_on(plain, asked, 0)
    assert asked[1].state_dict()["param_groups"] == plain[1].state_dict()["param_groups"]


def test_from_files_a_rising_peak_goes_on_without_its_anchor(tmp_path: Path) -> None:
    run, fresh = begun("PeakSLS", RISING), new_run("PeakSLS")
    fresh[0].load_state_dict(run[0].state_dict())
    files(run, fresh, tmp_path)
    assert go(fresh, range(RISING, RISING + 1)) == go(run, range(RISING, RISING + 1))
    assert fresh[1].last_step.status.moved


@pytest.mark.parametrize("steps", [0, RISING])
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))],
    ids=["deepcopy", "pickle"],
)
@each_maker
def test_copies_go_on_and_load_and_save(duplicate: Any, name: str, steps: int) -> None:
    run = begun(name, steps)
    copied, loaded = duplicate(run), duplicate(new_run(name))
    loaded[0].load_state_dict(copied[0].state_dict())
    loaded[1].load_state_dict(copy.deepcopy(copied[1].state_dict()))
    go_on = [go(one, range(steps, steps + 5)) for one in (run, copied, loaded)]
    assert go_on[0] == go_on[1] == go_on[2]


@each_maker
def test_a_state_loads_again_and_again(name: str) -> None:
    run = begun(name, RISING)
    for _ in range(3):
        run[1].load_state_dict(copy.deepcopy(run[1].state_dict()))
    assert_goes_on(begun(name, RISING), run, RISING)


def test_a_step_without_closure_is_an_error_while_a_gradient_is_not_zero() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = ALSALS([w])
    optimizer.param_groups[0]["lr"] = 0.0
    w.grad = torch.tensor([0.0, 1e-30])
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()


# ------------------------------------------------------------------------- whose state it is


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


def test_a_state_names_its_optimizer() -> None:
    assert ALSALS(parameters()).state_dict()["param_groups"][0]["optimizer"] == "ALSALS"


def test_a_state_around_names_the_base_too() -> None:
    group = ALSALS.around(torch.optim.AdamW(parameters())).state_dict()["param_groups"][0]
    assert (group["optimizer"], group["base"]["class"]) == ("ALSALS", "AdamW")


def test_the_state_of_another_class_is_refused_with_both_names() -> None:
    state = AdamSLS(parameters()).state_dict()
    with pytest.raises(ValueError, match="AdamSLS's, not ALSALS's; build the AdamSLS"):
        ALSALS(parameters()).load_state_dict(state)


def test_the_state_of_the_class_it_derives_from_is_its_own() -> None:
    class Mine(ALSALS):
        pass

    Mine(parameters()).load_state_dict(ALSALS(parameters()).state_dict())


@pytest.mark.filterwarnings("ignore", category=OldNameWarning)
def test_the_old_name_takes_the_new_ones_state() -> None:
    settings = KenSLS([parameters()]).param_groups[0]
    new = ALSALS(parameters(), **{n: settings[n] for n in ("slope", "min_step", "tolerance")})
    KenSLS([parameters()]).load_state_dict(new.state_dict())


def test_a_state_of_torchs_adam_is_recognized_by_what_it_has() -> None:
    state = torch.optim.Adam(parameters()).state_dict()
    with pytest.raises(ValueError, match=r"not SLS's: it lacks .*c, .*, and has amsgrad, betas"):
        SLS(parameters()).load_state_dict(state)


def test_a_state_without_a_name_is_an_earlier_versions_own() -> None:
    state = begun("ALSALS", 3)[1].state_dict()
    for name in ("optimizer", "placeholders"):
        del state["param_groups"][0][name]
    resumed = new_run("ALSALS")
    resumed[1].load_state_dict(state)
    assert resumed[1].state_dict()["param_groups"][0]["optimizer"] == "ALSALS"


def test_a_state_of_an_earlier_version_has_the_bases_beside_it() -> None:
    run, resumed = begun("ALSALS-around", RISING), new_run("ALSALS-around")
    resumed[0].load_state_dict(run[0].state_dict())
    (adam,) = run[1].base.optimizers
    state = run[1].state_dict()
    for part in (*state["param_groups"], *state["state"].values()):
        del part["base"]
    old = {**state, "base": [{"class": "Adam", "state_dict": adam.state_dict()}]}
    resumed[1].load_state_dict(copy.deepcopy(old))
    assert_goes_on(run, resumed, RISING)


# -------------------------------------------------------------------- settings that it changes


def test_changed_settings_are_reported_with_both_values() -> None:
    state = ALSALS(parameters(), c=0.5, total_steps=9).state_dict()
    with pytest.warns(UserWarning, match=r"of ALSALS: c: 0\.3 → 0\.5; total_steps: None → 9$"):
        ALSALS(parameters()).load_state_dict(state)


def test_a_changed_setting_of_one_group_names_the_group() -> None:
    def two(decay: float) -> ALSALS:
        return ALSALS([{"params": parameters()}, {"params": parameters(), "weight_decay": decay}])

    with pytest.warns(UserWarning, match=r"weight_decay: 0\.1 → 0\.2 \(parameter group 1\)$"):
        two(0.1).load_state_dict(two(0.2).state_dict())


def test_a_lost_scale_of_a_group_is_reported() -> None:
    scaled = ALSALS([{"params": parameters(), "lr_scale": 0.5}])
    with pytest.warns(UserWarning, match=r"lr_scale: 0\.5 → None"):
        scaled.load_state_dict(ALSALS(parameters()).state_dict())


def test_settings_that_came_back_as_a_list_are_the_same() -> None:
    optimizer = ALSALS(parameters())
    state = optimizer.state_dict()
    state["param_groups"][0]["betas"] = [0.9, 0.999]
    optimizer.load_state_dict(state)


def test_empty_dictionaries_are_dropped_however_deep() -> None:
    states = {0: {"exp_avg": 1, "anchor": {}}, 1: {}, 2: {"base": {"exp_avg": {}}}, 3: {"step": 0}}
    assert without_empty(states) == {0: {"exp_avg": 1}, 3: {"step": 0}}
