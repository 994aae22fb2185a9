"""Buffers move exactly once a step, whatever the number of trials: contract 3."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, LineSearch
from tests.sls.digits import batch_norm_network, batches
from tests.sls.optimizers import Make, each_optimizer, each_search, start_at


class Watched(nn.Module):
    """A linear layer whose input is scaled by something that a buffer says; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        scale = self.scale()
        self.seen.append(scale.detach().clone())
        logits: Tensor = self.layer(inputs * scale)
        return logits

    def scale(self) -> Tensor:
        raise NotImplementedError


class CountsInPlace(Watched):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(()))

    def scale(self) -> Tensor:
        self.count.add_(1)
        return self.count.clone()


class CountsThroughData(Watched):
    """Torch's count of in-place changes does not see this one."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(()))

    def scale(self) -> Tensor:
        self.count.data.add_(1)
        return self.count.clone()


class CountsByAssignment(Watched):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(()))

    def scale(self) -> Tensor:
        self.count = self.count + 1
        return self.count


class CountsFromNone(Watched):
    """The buffer is made in the first forward pass."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", None)

    def scale(self) -> Tensor:
        missing = self._buffers["count"] is None
        self.count = torch.ones(()) if missing else self.count + 1
        return self.count


class PowerIteration(Watched):
    """Divides by an estimate of the layer's greatest singular value, as spectral norm does."""

    u: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("u", torch.ones(10) / 10**0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(self.u.clone())
        weight = self.layer.weight
        with torch.no_grad():
            v = nn.functional.normalize(weight.T @ self.u, dim=0)
            self.u.copy_(nn.functional.normalize(weight @ v, dim=0))
        sigma = self.u.clone() @ weight @ v
        logits: Tensor = self.layer(inputs) / sigma
        return logits


class CountsInAChild(Watched):
    """The counter hangs in a child that is called by its `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.child = CountsInPlace()

    def scale(self) -> Tensor:
        self.child.forward(torch.zeros(1, 64, dtype=torch.float64))
        return self.child.count.clone()


COUNTERS = [CountsInPlace, CountsThroughData, CountsByAssignment, CountsFromNone, CountsInAChild]
CHANGING = [*COUNTERS, PowerIteration]
each_counter = pytest.mark.parametrize("module", COUNTERS, ids=lambda module: module.__name__)
each_changing = pytest.mark.parametrize("module", CHANGING, ids=lambda module: module.__name__)


def batch_loss(model: nn.Module, k: int = 0) -> Callable[[], Tensor]:
    inputs, targets = batches()[k]
    return lambda: nn.functional.cross_entropy(model(inputs), targets)


def step_with_trials(optimizer: LineSearch, loss: Callable[[], Tensor]) -> None:
    """A first step that takes several trials."""
    start_at(optimizer, 30.0).step(loss)
    assert optimizer.last_step is not None
    assert optimizer.last_step.trials > 3, "the step was meant to take several trials"


def assert_same_buffers(model: nn.Module, expected: nn.Module) -> None:
    others = dict(expected.named_buffers())
    assert dict(model.named_buffers()).keys() == others.keys()
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, others[name]), name


def assert_buffers_move_once(make: Make, model: nn.Module) -> None:
    """Two steps leave the buffers that two forward passes from the same parameters leave."""
    optimizer = make(model.parameters())
    for k in range(2):
        once = copy.deepcopy(model)
        batch_loss(once, k)()
        if k == 0 and isinstance(optimizer, LineSearch):
            step_with_trials(optimizer, batch_loss(model, k))
        else:
            optimizer.step(batch_loss(model, k))
        assert_same_buffers(model, once)


@each_optimizer
def test_batch_norm_counts_one_batch_a_step(make: Make) -> None:
    model = batch_norm_network()
    optimizer = start_at(make(model.parameters()), 30.0)
    for k in range(3):
        optimizer.step(batch_loss(model, k))
        assert int(model.get_buffer("1.num_batches_tracked")) == k + 1


@each_optimizer
def test_batch_norm_statistics_are_those_of_one_forward_pass(make: Make) -> None:
    torch.manual_seed(0)
    assert_buffers_move_once(make, batch_norm_network())


@pytest.mark.filterwarnings("ignore:.*the model is in eval mode")
@each_search
def test_batch_norm_in_evaluation_keeps_its_statistics(make: Make) -> None:
    model = batch_norm_network().eval()
    before = copy.deepcopy(model)
    step_with_trials(make(model.parameters()), batch_loss(model))
    assert_same_buffers(model, before)


@each_changing
@each_search
def test_every_trial_sees_the_buffer_of_the_first_evaluation(
    make: Make, module: type[Watched]
) -> None:
    model = module().double()
    optimizer = make(model.parameters())
    step_with_trials(optimizer, batch_loss(model))
    for seen in model.seen[1:]:
        assert torch.equal(seen, model.seen[0])


@each_counter
@each_search
def test_a_counter_rises_by_one_a_step(make: Make, module: type[Watched]) -> None:
    model = module().double()
    optimizer = make(model.parameters())
    step_with_trials(optimizer, batch_loss(model))
    first = model.seen[0]
    model.seen.clear()
    optimizer.step(batch_loss(model))
    assert torch.equal(model.seen[0], first + 1)


@each_changing
def test_a_changing_buffer_ends_as_one_forward_pass_leaves_it(module: type[Watched]) -> None:
    assert_buffers_move_once(ALSALS, module().double())


def test_a_buffer_that_is_assigned_anew_stays_a_buffer() -> None:
    model = CountsByAssignment().double()
    step_with_trials(ALSALS(model.parameters()), batch_loss(model))
    assert float(model.state_dict()["count"]) == 2


class ForwardsByHand(nn.Module):
    """Calls its children's `forward`, so that no hook of theirs runs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head.forward(self.norm.forward(inputs))


def nested() -> nn.Module:
    inner = nn.Sequential(nn.Linear(64, 16), nn.Sequential(nn.BatchNorm1d(16), nn.ReLU()))
    return nn.Sequential(inner, nn.Sequential(nn.Sequential(nn.Linear(16, 10))))


def spectral_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(64, 10)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "no affine parameters": lambda: nn.Sequential(
        nn.Linear(64, 10), nn.BatchNorm1d(10, affine=False)
    ),
    "cumulative average": lambda: nn.Sequential(
        nn.Linear(64, 10), nn.BatchNorm1d(10, momentum=None)
    ),
    "no statistics": lambda: nn.Sequential(
        nn.Linear(64, 10), nn.BatchNorm1d(10, track_running_stats=False)
    ),
    "nested": nested,
    "called by forward": ForwardsByHand,
    "spectral norm": spectral_norm,
}


@pytest.mark.parametrize("name", MODELS)
@each_optimizer
def test_buffers_move_once_in(make: Make, name: str) -> None:
    assert_buffers_move_once(make, MODELS[name]().double())


def test_statistics_move_once_where_the_model_itself_is_called_by_forward() -> None:
    model = nested().double()
    once = copy.deepcopy(model)
    once(batches()[0][0])
    inputs, targets = batches()[0]
    step_with_trials(
        ALSALS(model.parameters()),
        lambda: nn.functional.cross_entropy(model.forward(inputs), targets),
    )
    assert_same_buffers(model, once)


@each_search
def test_buffers_of_a_module_that_is_not_called_stay_untouched(make: Make) -> None:
    model, idle = batch_norm_network(), nn.BatchNorm1d(4)
    idle(torch.randn(8, 4))
    tensors = dict(idle.named_buffers())
    versions = {name: tensor._version for name, tensor in tensors.items()}
    step_with_trials(make(model.parameters()), batch_loss(model))
    for name, buffer in idle.named_buffers():
        assert buffer is tensors[name], name
        assert buffer._version == versions[name], name


def test_a_buffer_changed_between_steps_is_seen_by_the_next() -> None:
    model = CountsInPlace().double()
    optimizer = ALSALS(model.parameters())
    step_with_trials(optimizer, batch_loss(model))
    model.count.fill_(10)
    model.seen.clear()
    optimizer.step(batch_loss(model))
    assert [float(seen) for seen in model.seen] == [11.0] * len(model.seen)


def test_hooks_are_gone_after_a_step() -> None:
    hooks = nn.modules.module._global_forward_pre_hooks
    before = len(hooks)
    model = batch_norm_network()
    step_with_trials(ALSALS(model.parameters()), batch_loss(model))
    assert len(hooks) == before
