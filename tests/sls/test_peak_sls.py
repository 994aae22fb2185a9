"""A step of PeakSLS: judged in the rise, looked back at while it settles, held, and the net."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import PeakSLS, Status, devices, moments
from sls.anchor import Anchor
from sls.devices import HOST
from sls.net import CHECK_EVERY
from sls.peak import Phase
from tests.sls.digits import batch_norm_network, batches
from tests.sls.optimizers import Make, each_peak
from tests.sls.problems import PROBLEMS, SmallNetwork, vector_of
from tests.sls.test_buffers import assert_same_buffers
from tests.sls.test_cost import PeakOfTensors, Synchronisations, large, made_in_models
from tests.sls.test_failure import Spoiled, assert_same_state, vector
from tests.sls.test_random_numbers import RecordsMasks, batch_loss


def in_phase(optimizer: PeakSLS, phase: Phase) -> PeakSLS:
    """The optimizer as if it had come to this phase at `init_step`, its peak seen."""
    memory = optimizer.search_state
    optimizer.remember(replace(memory, peak=replace(memory.peak, phase=phase, seen=True)))
    return optimizer


def held(optimizer: PeakSLS) -> PeakSLS:
    return in_phase(optimizer, Phase.HELD)


def settling(optimizer: PeakSLS) -> PeakSLS:
    return in_phase(optimizer, Phase.SETTLING)


def phase_of(optimizer: PeakSLS) -> Phase:
    return optimizer.search_state.peak.phase


def trained(
    make: Callable[..., PeakSLS], steps: int, problem_class: type = SmallNetwork
) -> tuple[Any, PeakSLS]:
    problem = problem_class()
    optimizer = make(problem.parameters())
    for k in range(steps):
        optimizer.step(lambda k=k: problem(k))
    return problem, optimizer


class PartlyUsed(nn.Module):
    """A network; a part that every third mini-batch uses, one that none does, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmallNetwork()
        self.part, self.unused, self.frozen = (
            nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64)) for _ in range(3)
        )
        self.frozen.requires_grad_(False)

    def forward(self, k: int) -> Tensor:
        loss: Tensor = self.network(k) * self.frozen.sum()
        return loss + self.part.square().sum() if k % 3 == 1 else loss


class ComplexQuadratic(nn.Module):
    """`Σ |w − z_k|²` over complex numbers, in turn with a real parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1 + 2j, -2 + 1j], dtype=torch.complex128))
        self.v = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, k: int) -> Tensor:
        off = self.w * self.v - 0.1j * (k % 5)
        return (off * off.conj()).real.sum()


each_problem = pytest.mark.parametrize(
    "problem_class", [SmallNetwork, PartlyUsed, ComplexQuadratic]
)


def flat(tensors: Any) -> Tensor:
    """Real numbers in one vector; complex ones as two."""
    real = (torch.view_as_real(x) if x.is_complex() else x for x in tensors)
    return torch.cat([x.detach().reshape(-1) for x in real])


def place(problem: nn.Module) -> Tensor:
    return flat(problem.parameters()).clone()


def loss_and_gradient(problem: nn.Module, k: int) -> tuple[float, Tensor]:
    """Of mini-batch k, wherever the parameters are; zeros where there is no gradient."""
    params = list(problem.parameters())
    wanted = [param for param in params if param.requires_grad]
    loss = problem(k)
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    gradients = {
        param: gradient
        for param, gradient in zip(wanted, found, strict=True)
        if gradient is not None
    }
    return loss.item(), flat([gradients.get(param, torch.zeros_like(param)) for param in params])


def at(vector: Tensor, problem: nn.Module) -> nn.Module:
    """A copy of the problem with its parameters there."""
    copied = copy.deepcopy(problem)
    with torch.no_grad():
        for param in copied.parameters():
            real = torch.view_as_real(param) if param.is_complex() else param
            here, vector = vector[: real.numel()], vector[real.numel() :]
            real.copy_(here.view_as(real))
    return copied


# --- judging -------------------------------------------------------------------------------------


@each_problem
@pytest.mark.parametrize("steps", [4, 5, 6])
@each_peak
def test_a_judgement_is_what_can_be_measured_from_outside(
    make: Make, steps: int, problem_class: type
) -> None:
    problem, optimizer = trained(make, steps, problem_class)
    before = place(problem)
    optimizer.step(lambda: problem(steps))
    after, taken = place(problem), optimizer.last_step.step_size
    loss_after, gradient = loss_and_gradient(problem, steps + 1)
    loss_before, _ = loss_and_gradient(at(before, problem), steps + 1)
    slope_far = float(gradient @ (before - after)) / taken
    optimizer.step(lambda: problem(steps + 1))
    record = optimizer.last_step
    assert record.searched
    assert record.gain == pytest.approx(loss_before - loss_after, rel=1e-6, abs=1e-14)
    assert record.slope_far == pytest.approx(slope_far, rel=1e-6)
    assert record.slope_near == pytest.approx(2 * record.gain / taken - slope_far, rel=1e-6)
    assert record.curvature == pytest.approx((record.slope_near - slope_far) / taken, rel=1e-4)


@each_peak
def test_a_judged_step_looks_at_its_own_place_and_then_at_the_one_before(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    before = vector_of(problem)
    optimizer.step(lambda: problem(5))
    after, seen = vector_of(problem), []

    def closure() -> Tensor:
        seen.append(vector_of(problem))
        return problem(6)

    optimizer.step(closure)
    assert len(seen) == optimizer.last_step.forwards == optimizer.last_step.trials + 1 == 2
    assert (seen[0] == after).all()
    assert (seen[1] == before).all()


def test_the_judging_pass_leaves_the_parameters_to_the_bit() -> None:
    """Without momentum a gradient of zero moves nothing, so that all that moves is the pass."""
    w = nn.Parameter(torch.linspace(0.1, 1.7, 5))
    optimizer = PeakSLS([w], direction="sgd", betas=(0.0, 0.9))
    optimizer.step(lambda: w.exp().sum())
    start, seen = w.detach().clone(), []

    def closure() -> Tensor:
        seen.append(w.detach().clone())
        return 0 * w.sum()

    optimizer.step(closure)
    assert not torch.equal(seen[1], start)
    assert torch.equal(w.detach(), start)


@each_peak
def test_the_judging_pass_sees_the_same_masks_and_draws_nothing(make: Make) -> None:
    model = RecordsMasks().double()
    optimizer = make(model.parameters())
    optimizer.step(batch_loss(model))
    model.masks.clear()
    state = torch.get_rng_state()
    batch_loss(model)()
    expected = torch.get_rng_state()
    model.masks.clear()
    torch.set_rng_state(state)
    optimizer.step(batch_loss(model))
    assert optimizer.last_step.searched
    assert torch.equal(model.masks[0], model.masks[1])
    assert torch.equal(torch.get_rng_state(), expected)


@each_peak
def test_the_judging_pass_leaves_buffers_alone(make: Make) -> None:
    model = batch_norm_network()
    optimizer = make(model.parameters())
    for k in range(3):
        once = copy.deepcopy(model)
        inputs, targets = batches()[k]
        once(inputs)
        optimizer.step(lambda x=inputs, y=targets: nn.functional.cross_entropy(model(x), y))
        assert optimizer.last_step.searched is (k > 0)
        assert_same_buffers(model, once)


@each_peak
def test_an_error_in_the_judging_pass_leaves_all_as_it_was(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    w, state, calls = vector(problem), copy.deepcopy(optimizer.state_dict()), []

    def closure() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return problem(5)

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert torch.equal(vector(problem), w)
    assert optimizer.state_dict()["param_groups"] == state["param_groups"]
    twin, other = trained(make, 5)
    optimizer.step(lambda: problem(5))
    other.step(lambda: twin(5))
    assert torch.equal(vector(problem), vector(twin))


def walk_without_gradient(phase: Phase, steps: int) -> tuple[nn.Parameter, PeakSLS]:
    """A loss that differs from place to place, and gradients of zero: weight decay alone moves."""
    w = nn.Parameter(torch.linspace(0.1, 1.7, 5))
    optimizer = PeakSLS([w], direction="sgd", weight_decay=0.5, init_step=0.1)
    in_phase(optimizer, phase)
    for _ in range(steps):
        optimizer.step(lambda: w.detach().exp().sum() + 0 * w.sum())
    return w, optimizer


def test_weight_decay_stays_outside_the_judgement() -> None:
    w, optimizer = walk_without_gradient(Phase.RISING, 2)
    assert not torch.equal(w.detach(), torch.linspace(0.1, 1.7, 5))
    assert (optimizer.last_step.gain, optimizer.last_step.slope_far) == (0.0, 0.0)


def test_weight_decay_shrinks_the_anchor_of_a_window_as_it_shrinks_the_weights() -> None:
    w, optimizer = walk_without_gradient(Phase.SETTLING, 5)
    assert not torch.equal(w.detach(), torch.linspace(0.1, 1.7, 5))
    assert torch.equal(optimizer.state[w]["anchor"], w.detach())


# --- settling ------------------------------------------------------------------------------------


def slopes_from_outside(problem: nn.Module, optimizer: PeakSLS, steps: int) -> list[float]:
    """`⟨∇f_k(w_k), a − w_k⟩` of every step but the first, a from every eighth step on."""
    slopes, anchor = [], place(problem)
    for k in range(steps):
        if k > 0:
            slopes.append(float(loss_and_gradient(problem, k)[1] @ (anchor - place(problem))))
        if k % 8 == 0:
            anchor = place(problem)
        optimizer.step(lambda k=k: problem(k))
    return slopes


def persistence_of(slopes: list[float]) -> float:
    weights = [0.8**age for age in range(len(slopes))][::-1]
    pull = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
    return pull / sum(weight * abs(slope) for weight, slope in zip(weights, slopes, strict=True))


@each_problem
@pytest.mark.parametrize("steps", [2, 8, 9, 10, 30])
@each_peak
def test_persistence_is_what_can_be_measured_from_outside(
    make: Make, steps: int, problem_class: type
) -> None:
    problem = problem_class()
    optimizer = settling(make(problem.parameters()))
    slopes = slopes_from_outside(problem, optimizer, steps)
    assert optimizer.last_step.persistence == pytest.approx(persistence_of(slopes), rel=1e-6)


@each_peak
def test_a_settling_step_makes_one_forward_pass(make: Make) -> None:
    problem = SmallNetwork()
    optimizer = settling(make(problem.parameters()))
    for k in range(10):
        optimizer.step(lambda k=k: problem(k))
        assert (optimizer.last_step.forwards, optimizer.last_step.searched) == (1, False)


def test_a_step_of_any_phase_makes_its_direction_once_as_adam_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The fused kernel moves the moments and the parameters; a direction made apart is for trials.
    monkeypatch.setattr(moments, "direction", lambda group: pytest.fail("a direction was made"))
    _, optimizer = trained(partial(PeakSLS, total_steps=100), 45)
    assert phase_of(optimizer) is Phase.HELD
    assert optimizer.last_step.slope is None


def test_a_group_added_within_a_window_is_looked_back_at_from_where_it_was_added() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    optimizer = settling(PeakSLS([first], init_step=1e-2))
    for _ in range(3):
        optimizer.step(lambda: first.square().sum())
    optimizer.add_param_group({"params": [second]})
    optimizer.step(lambda: first.square().sum() + second.square().sum())
    assert torch.equal(optimizer.state[first]["anchor"], torch.ones(2))
    assert torch.equal(optimizer.state[second]["anchor"], torch.ones(3))


def test_a_group_added_in_the_rise_is_judged_from_its_second_step_on() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    optimizer = PeakSLS([first], init_step=1e-2)
    for _ in range(3):
        optimizer.step(lambda: first.square().sum())
    optimizer.add_param_group({"params": [second]})
    optimizer.step(lambda: second.square().sum() + 0 * first.sum())
    gains = []
    for _ in range(2):
        before = second.square().sum().item()
        gains.append(optimizer.last_step.gain)
        optimizer.step(lambda: second.square().sum())
    assert gains[0] == 0
    assert optimizer.last_step.gain > 0
    assert before < 3


# --- cost ----------------------------------------------------------------------------------------


@each_peak
def test_a_step_synchronises_once_until_the_peak_is_held(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    counts: dict[Phase, set[int]] = {Phase.RISING: set(), Phase.SETTLING: set()}
    with Synchronisations(monkeypatch) as synchronisations:
        for k in range(60):
            before, phase = synchronisations.count, phase_of(optimizer)
            optimizer.step(lambda k=k: problem(k))
            counts[phase].add(synchronisations.count - before)
    assert counts == {Phase.RISING: {1}, Phase.SETTLING: {1}}


@each_peak
def test_a_held_step_synchronises_only_to_check_the_net(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = SmallNetwork()
    optimizer = held(make(problem.parameters()))
    with Synchronisations(monkeypatch) as synchronisations:
        for k in range(3 * CHECK_EVERY):
            before = synchronisations.count
            optimizer.step(lambda k=k: problem(k))
            assert synchronisations.count - before == ((k + 1) % CHECK_EVERY == 0)
    assert optimizer.last_step.forwards == 1


def anchors_in_models(optimizer: PeakSLS) -> float:
    """The size of all anchors, in multiples of the parameters'."""
    sizes = [state["anchor"].nbytes for state in optimizer.state.values() if "anchor" in state]
    return sum(sizes) / sum(param.nbytes for param in optimizer.all_params)


def test_one_copy_is_kept_until_the_peak_is_held_and_none_after() -> None:
    problem = SmallNetwork()
    optimizer = PeakSLS(problem.parameters())
    copies: dict[Phase, set[float]] = {phase: set() for phase in Phase}
    for k in range(100):
        optimizer.step(lambda k=k: problem(k))
        copies[phase_of(optimizer)].add(anchors_in_models(optimizer))
    assert copies == {Phase.RISING: {1.0}, Phase.SETTLING: {1.0}, Phase.HELD: {0.0}}


def test_a_run_that_ends_its_rise_late_keeps_no_copy() -> None:
    """At two fifths of the run the peak is held, whatever it is at."""
    _, optimizer = trained(lambda params: PeakSLS(params, total_steps=20), 8)
    assert anchors_in_models(optimizer) == 0


def test_what_never_has_a_gradient_is_not_copied() -> None:
    problem, optimizer = trained(PeakSLS, 5, PartlyUsed)
    for param in (problem.frozen, problem.unused):
        assert param not in optimizer.state


def test_what_is_held_remembers_moments_alone() -> None:
    problem, optimizer = trained(lambda params: PeakSLS(params, total_steps=50), 20)
    names = {"exp_avg", "exp_avg_sq", "step"}
    assert all(optimizer.state[param].keys() == names for param in problem.parameters())


@pytest.mark.parametrize("phase", Phase)
def test_a_step_makes_no_copy_of_the_model_but_the_anchor(phase: Phase) -> None:
    """The anchor is there from step to step, and moves without a copy."""
    params = large()
    optimizer = in_phase(PeakSLS(params), phase)
    for _ in range(2):
        optimizer.step(lambda: sum((p * p).mean() for p in params))
    assert made_in_models(optimizer, params) <= 1 / 8 + 4 * HOST.piece / (8 * 1024**2)


def test_on_the_way_to_the_anchor_one_piece_is_copied_at_a_time() -> None:
    """What is counted has passed through torch: the parameters, and the copies of a piece."""
    params = [nn.Parameter(torch.randn(256, 256)) for _ in range(8)]
    optimizer = PeakSLS(params)
    optimizer.step(lambda: sum(p.square().mean() for p in params))
    anchor = Anchor(params, optimizer.state)
    with torch.no_grad(), PeakOfTensors() as peak, anchor.visited():
        pass
    assert 4 * HOST.piece == 4 * params[0].nbytes  # so that there are two pieces
    assert peak.peak == (8 + 4) * params[0].nbytes


# --- where the numbers come from -----------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_at_a_held_step_adam_is_torchs(problem: str, decay: float) -> None:
    ours, theirs = PROBLEMS[problem](), PROBLEMS[problem]()
    optimizer = held(PeakSLS(ours.parameters(), init_step=1e-3, weight_decay=decay))
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=decay)
    assert_same_walk(optimizer, ours, adam, theirs)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_at_a_held_step_sgd_is_torchs_with_momentum(problem: str) -> None:
    ours, theirs = PROBLEMS[problem](), PROBLEMS[problem]()
    optimizer = held(PeakSLS(ours.parameters(), init_step=1e-4, direction="sgd"))
    sgd = torch.optim.SGD(theirs.parameters(), lr=1e-4, momentum=0.9)
    assert_same_walk(optimizer, ours, sgd, theirs)


def assert_same_walk(
    optimizer: PeakSLS, ours: nn.Module, torchs: torch.optim.Optimizer, theirs: nn.Module
) -> None:
    for k in range(60):
        optimizer.step(lambda k=k: ours(k))
        torchs.zero_grad()
        theirs(k).backward()
        torchs.step()
    assert optimizer.param_groups[0]["lr"] == optimizer.defaults["init_step"]
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-12)


def step_sizes(
    scale: float = 1.0, shift: float = 0.0, stretch: float = 1.0, **settings: Any
) -> list[float]:
    """Of 50 steps on `scale·f(w/stretch) + shift`, which start at `stretch` times the place."""
    problem = SmallNetwork()
    names = [name for name, _ in problem.named_parameters()]
    stretched = [nn.Parameter(param.detach() * stretch) for param in problem.parameters()]
    settings = {"eps": 0.0, "init_step": 1e-3, **settings}
    optimizer = PeakSLS(stretched, **settings)

    def loss(k: int) -> Tensor:
        values = {name: w / stretch for name, w in zip(names, stretched, strict=True)}
        return scale * torch.func.functional_call(problem, values, (k,)) + shift

    sizes = []
    for k in range(50):
        optimizer.step(lambda k=k: loss(k))
        sizes.append(optimizer.last_step.step_size)
    assert phase_of(optimizer) is Phase.SETTLING, "the steps were meant to cover two phases"
    return sizes


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("shift", [-10.0, 0.0, 10.0])
def test_adams_peak_knows_neither_the_scale_nor_the_level_of_the_loss(
    scale: float, shift: float
) -> None:
    """A shift costs digits: beside 10, a loss of 1e-3 has thirteen left."""
    assert step_sizes(scale, scale * shift) == pytest.approx(step_sizes(), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_shift_far_above_the_loss_is_not_seen_either(scale: float) -> None:
    assert step_sizes(scale, 10.0) == pytest.approx(step_sizes(), rel=1e-3)


@pytest.mark.parametrize("shift", [-10.0, 10.0])
def test_sgds_peak_does_not_know_the_level_of_the_loss(shift: float) -> None:
    shifted = step_sizes(shift=shift, direction="sgd")
    assert shifted == pytest.approx(step_sizes(direction="sgd"), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_sgds_steps_are_as_many_times_smaller_as_the_loss_is_larger(scale: float) -> None:
    scaled = [scale * x for x in step_sizes(scale, direction="sgd", init_step=1e-3 / scale)]
    assert scaled == pytest.approx(step_sizes(direction="sgd"), rel=1e-5)


@pytest.mark.parametrize("stretch", [0.1, 10.0])
def test_adams_steps_have_the_unit_of_the_parameters(stretch: float) -> None:
    """All of them: Adam itself knows the scale of one layer beside another."""
    stretched = [x / stretch for x in step_sizes(stretch=stretch, init_step=1e-3 * stretch)]
    assert stretched == pytest.approx(step_sizes(), rel=1e-5)


def test_annealing_is_in_the_factor_and_not_in_the_peak() -> None:
    problem = SmallNetwork()
    optimizer = PeakSLS(problem.parameters(), total_steps=20)
    factors, sizes = [], []
    for k in range(20):
        optimizer.step(lambda k=k: problem(k))
        factors.append(optimizer.last_step.factor)
        sizes.append(optimizer.param_groups[0]["lr"])
    assert factors == pytest.approx([1.0] * 11 + [n / 10 for n in range(9, 0, -1)])
    assert len(set(sizes[8:])) == 1
    with pytest.warns(UserWarning, match="more often than total_steps=20"):
        optimizer.step(lambda: problem(20))


# --- failure and the net -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
@each_peak
def test_a_first_step_that_lost_the_loss_is_taken_back_and_is_a_tenth_then(
    make: Make, value: float
) -> None:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    optimizer.param_groups[0]["init_step"] = 1.0
    spoiled = Spoiled(problem, 0, value, radius=1e-3)
    optimizer.step(spoiled)
    optimizer.step(spoiled)
    record = optimizer.last_step
    assert (record.status, record.forwards) == (Status.LOWERED, 2)
    assert record.step_size == optimizer.param_groups[0]["lr"] == 0.1
    assert not math.isfinite(record.loss)
    assert torch.equal(vector(problem), spoiled.origin)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@each_peak
def test_steps_of_a_window_that_lost_the_loss_are_taken_back_to_its_anchor(
    make: Make, value: float
) -> None:
    problem = SmallNetwork()
    optimizer = settling(make(problem.parameters()))
    for k in range(8):
        optimizer.step(lambda k=k: problem(k))
    spoiled = Spoiled(problem, 0, value, radius=math.inf)
    for k in range(8, 13):
        optimizer.step(lambda k=k: problem(k))
    reached = optimizer.last_step.step_size
    spoiled.radius = 0.0
    optimizer.step(spoiled)
    record = optimizer.last_step
    assert (record.status, record.step_size) == (Status.LOWERED, reached / 2)
    assert torch.equal(vector(problem), spoiled.origin)


@each_peak
def test_a_run_whose_first_step_lost_the_loss_goes_on_from_a_tenth(make: Make) -> None:
    problem = SmallNetwork()
    optimizer = make(problem.parameters())
    optimizer.param_groups[0]["init_step"] = 1.0
    spoiled = Spoiled(problem, 0, math.nan, radius=1e-3)
    optimizer.step(spoiled)
    optimizer.step(spoiled)
    optimizer.step(lambda: problem(0))
    assert optimizer.last_step.status is Status.ACCEPTED
    assert phase_of(optimizer) is Phase.RISING
    assert optimizer.search_state.peak.place == 1, "a new step was to be judged"
    assert anchors_in_models(optimizer) == 1
    assert not torch.equal(vector(problem), spoiled.origin)


def test_a_group_added_within_a_window_is_taken_back_too() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    optimizer = settling(PeakSLS([first], init_step=1e-2))
    for _ in range(3):
        optimizer.step(lambda: first.square().sum())
    optimizer.add_param_group({"params": [second]})

    def loss() -> Tensor:
        both = first.square().sum() + second.square().sum()
        return both if second[0] == 1 else both * math.nan

    optimizer.step(loss)
    optimizer.step(loss)
    assert optimizer.last_step.status is Status.LOWERED
    assert torch.equal(first, torch.ones(2))
    assert torch.equal(second, torch.ones(3))


@each_peak
def test_a_loss_that_is_lost_at_the_anchor_alone_says_nothing(make: Make) -> None:
    problem, optimizer = trained(make, 5)
    before, w = optimizer.search_state.peak, vector(problem)

    def closure() -> Tensor:
        loss: Tensor = problem(5)
        return loss if torch.equal(vector(problem), w) else loss * math.nan

    optimizer.step(closure)
    assert optimizer.last_step.status is Status.ACCEPTED
    assert optimizer.search_state.peak == replace(before, k=6, place=1)


@pytest.mark.parametrize("host_looks", [True, False], ids=["on the host", "as on a GPU"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@each_peak
def test_a_bad_batch_at_the_held_peak_counts_as_one_without_gradient(
    make: Make, value: float, host_looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not host_looks:
        monkeypatch.setattr(devices, "ON_HOST", frozenset())
    problem, twin = SmallNetwork(), SmallNetwork()
    optimizer, other = held(make(problem.parameters())), held(make(twin.parameters()))
    for k in range(4):
        optimizer.step(lambda k=k: problem(k))
        other.step(lambda k=k: twin(k))
    optimizer.step(lambda: problem(4) * value)
    other.step(lambda: twin(4) * 0)
    assert torch.equal(vector(problem), vector(twin))
    assert not math.isfinite(optimizer.last_step.loss)


def run_at_level(optimizer: PeakSLS, param: nn.Parameter, level: float, steps: int) -> list[Status]:
    noise = torch.Generator().manual_seed(int(level * 10))
    statuses = []
    for _ in range(steps):
        shift = level + 0.1 * float(torch.randn((), generator=noise))
        optimizer.step(lambda shift=shift: 0 * param.sum() + shift)
        statuses.append(optimizer.last_step.status)
    return statuses


def test_the_net_halves_the_peak_once_where_the_loss_rises() -> None:
    param = nn.Parameter(torch.ones(2))
    optimizer = held(PeakSLS([param], init_step=1e-3))
    assert Status.LOWERED not in run_at_level(optimizer, param, 1.0, 5 * CHECK_EVERY)
    statuses = run_at_level(optimizer, param, 2.0, 5 * CHECK_EVERY)
    assert statuses.count(Status.LOWERED) == 1
    assert statuses.index(Status.LOWERED) == CHECK_EVERY - 1
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_a_run_resumed_between_checks_of_the_net_goes_on_bit_for_bit() -> None:
    def make(params: Any) -> PeakSLS:
        return held(PeakSLS(params, init_step=1e-2, averaging=True))

    problem, optimizer = trained(make, 2 * CHECK_EVERY + 7)
    again = copy.deepcopy(problem)
    resumed = PeakSLS(again.parameters(), init_step=1e-2, averaging=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    never_saved = trained(make, 2 * CHECK_EVERY + 7)
    pairs = [(problem, optimizer), (again, resumed), never_saved]
    for one, its in pairs:
        for k in range(30):
            its.step(lambda one=one, k=k: one(k))
    for one, its in pairs[1:]:
        assert torch.equal(vector(one), vector(problem))
        assert its.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


@pytest.mark.parametrize("steps", [5, 20, 60, 120])
@pytest.mark.parametrize("problem_class", [SmallNetwork, PartlyUsed])
@each_peak
def test_a_resumed_run_goes_on_bit_for_bit(make: Make, problem_class: type, steps: int) -> None:
    problem, optimizer = trained(make, steps, problem_class)
    again = copy.deepcopy(problem)
    resumed = make(again.parameters())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for k in range(steps, steps + 30):
        optimizer.step(lambda k=k: problem(k))
        resumed.step(lambda k=k: again(k))
    assert torch.equal(vector(again), vector(problem))
    assert_same_state(resumed.state_dict(), optimizer.state_dict())


@each_peak
def test_the_steps_of_a_run_that_is_resumed_cover_all_phases(make: Make) -> None:
    phases = [phase_of(trained(make, steps)[1]) for steps in (5, 20, 60, 120)]
    assert set(phases) == set(Phase)


@pytest.mark.parametrize("steps", [0, 5, 60, 120])
def test_a_saved_state_is_plain(steps: int, tmp_path: Path) -> None:
    """`weights_only` takes tensors, containers, numbers and text, and no class of ours."""
    _, optimizer = trained(PeakSLS, steps)
    torch.save(optimizer.state_dict(), tmp_path / "saved.pt")
    loaded = torch.load(tmp_path / "saved.pt", weights_only=True)
    assert_same_state(loaded, optimizer.state_dict())
