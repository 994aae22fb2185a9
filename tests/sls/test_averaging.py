"""The average of the weights: what it is, how it is lent, and BatchNorm's statistics with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import PeakSLS
from sls.averaging import weight_of_step
from tests.sls.digits import batch_norm_network, batches
from tests.sls.problems import SmallNetwork
from tests.sls.test_failure import vector


def trained(steps: int) -> tuple[SmallNetwork, PeakSLS, list[Tensor]]:
    problem, seen = SmallNetwork(), []
    optimizer = PeakSLS(problem.parameters(), averaging=True, init_step=1e-2)
    for k in range(steps):
        optimizer.step(lambda k=k: problem(k))
        seen.append(vector(problem))
    return problem, optimizer, seen


def test_weights_of_the_first_steps() -> None:
    assert [weight_of_step(t) for t in (1, 2, 10, 91)] == [1.0, 0.9, 0.5, 9 / 99]


def test_the_average_is_the_polynomial_one() -> None:
    problem, optimizer, seen = trained(30)
    expected = seen[0]
    for t, w in enumerate(seen[1:], start=2):
        expected = expected + min(1, 9 / (t + 8)) * (w - expected)
    with optimizer.averaged():
        torch.testing.assert_close(vector(problem), expected)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_weights_are_back_to_the_bit_even_after_an_error(error: type | None) -> None:
    problem, optimizer, seen = trained(10)
    average = copy.deepcopy(optimizer.state_dict())
    tensors = list(problem.parameters())
    try:
        with optimizer.averaged():
            assert not torch.equal(vector(problem), seen[-1])
            if error is not None:
                raise error
    except KeyboardInterrupt:
        pass
    assert torch.equal(vector(problem), seen[-1])
    assert all(a is b for a, b in zip(tensors, problem.parameters(), strict=True))
    for number, state in optimizer.state_dict()["state"].items():
        assert torch.equal(state["average"], average["state"][number]["average"])


def test_training_does_not_feel_the_average() -> None:
    problem, optimizer, _ = trained(10)
    plain = SmallNetwork()
    other = PeakSLS(plain.parameters(), init_step=1e-2)
    for k in range(10):
        other.step(lambda k=k: plain(k))
    with optimizer.averaged():
        pass
    optimizer.step(lambda: problem(10))
    other.step(lambda: plain(10))
    assert torch.equal(vector(problem), vector(plain))


def test_without_an_average_lending_is_an_error() -> None:
    optimizer = PeakSLS(SmallNetwork().parameters())
    assert not optimizer.averages
    with pytest.raises(RuntimeError, match="averaging=True"), optimizer.averaged():
        pass


HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
FLOAT16 = pytest.mark.filterwarnings("ignore:.*parameters are torch.float16")


def network_in(dtype: torch.dtype) -> SmallNetwork:
    problem = SmallNetwork().to(dtype)
    problem.inputs = tuple(x.to(dtype) for x in problem.inputs)
    return problem


def trained_in(dtype: torch.dtype, steps: int) -> tuple[SmallNetwork, PeakSLS, list[Tensor]]:
    problem, seen = network_in(dtype), []
    optimizer = PeakSLS(problem.parameters(), averaging=True, init_step=1e-3)
    for k in range(steps):
        optimizer.step(lambda k=k: problem(k).float())
        seen.append(vector(problem))
    return problem, optimizer, seen


@HALVES
@FLOAT16
def test_the_average_of_half_precision_is_in_float32(dtype: torch.dtype) -> None:
    problem, optimizer, seen = trained_in(dtype, 40)
    expected = seen[0].double()
    for t, w in enumerate(seen[1:], start=2):
        expected = expected + min(1, 9 / (t + 8)) * (w.double() - expected)
    averages = [optimizer.state[param]["average"].flatten() for param in problem.parameters()]
    torch.testing.assert_close(torch.cat(averages).double(), expected, rtol=1e-5, atol=1e-7)


@HALVES
@FLOAT16
def test_half_precision_lends_its_rounded_average_and_is_back_to_the_bit(
    dtype: torch.dtype,
) -> None:
    problem, optimizer, seen = trained_in(dtype, 10)
    averages = [optimizer.state[param]["average"].clone() for param in problem.parameters()]
    with optimizer.averaged():
        for param, average in zip(problem.parameters(), averages, strict=True):
            assert torch.equal(param, average.to(dtype))
    assert torch.equal(vector(problem), seen[-1])
    for param, average in zip(problem.parameters(), averages, strict=True):
        assert torch.equal(optimizer.state[param]["average"], average)


@HALVES
@FLOAT16
def test_a_saved_average_of_half_precision_comes_back_to_the_bit(dtype: torch.dtype) -> None:
    problem, optimizer, _ = trained_in(dtype, 10)
    other = network_in(dtype)
    resumed = PeakSLS(other.parameters(), averaging=True, init_step=1e-3)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, two in zip(problem.parameters(), other.parameters(), strict=True):
        average = resumed.state[two]["average"]
        assert average.dtype == torch.float32
        assert torch.equal(average, optimizer.state[one]["average"])


def test_an_average_that_an_earlier_version_saved_in_bf16_goes_on_in_float32() -> None:
    problem, optimizer, _ = trained_in(torch.bfloat16, 10)
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["average"] = state["average"].bfloat16()
    optimizer.load_state_dict(saved)
    optimizer.step(lambda: problem(10).float())
    averages = [optimizer.state[param]["average"] for param in problem.parameters()]
    assert {average.dtype for average in averages} == {torch.float32}


def test_parameters_that_never_moved_stay() -> None:
    moved, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = PeakSLS([moved, frozen], averaging=True)
    optimizer.step(lambda: moved.square().sum())
    with optimizer.averaged():
        assert torch.equal(frozen, torch.ones(2))
    assert "average" not in optimizer.state[frozen]


def with_batch_norm() -> tuple[nn.Module, PeakSLS]:
    model = batch_norm_network()
    optimizer = PeakSLS(model.parameters(), averaging=True, init_step=1e-2)
    for k in range(5):
        inputs, targets = batches()[k]
        optimizer.step(lambda x=inputs, y=targets: nn.functional.cross_entropy(model(x), y))
    return model, optimizer


def means_over(model: nn.Module, inputs: list[Tensor]) -> Tensor:
    """The mean over batches of what BatchNorm's layer sees, feature by feature."""
    seen: list[Tensor] = []
    hook = model.get_submodule("1").register_forward_pre_hook(
        lambda module, args: seen.append(args[0].detach().mean(0))
    )
    twin_buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    random = torch.get_rng_state()
    for x in inputs:
        model(x)
    hook.remove()
    torch.set_rng_state(random)
    for name, buffer in model.named_buffers():
        buffer.copy_(twin_buffers[name])
    return torch.stack(seen).mean(0)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_within_are_those_of_the_passes_and_afterwards_the_old_ones(
    training: bool,
) -> None:
    model, optimizer = with_batch_norm()
    model.train(training)
    inputs = [batches()[k][0] for k in range(3)]
    before: dict[str, Any] = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    with optimizer.averaged(lambda x=x: model(x) for x in inputs):
        torch.testing.assert_close(model.get_buffer("1.running_mean"), means_over(model, inputs))
        assert int(model.get_buffer("1.num_batches_tracked")) == 3
    assert torch.equal(torch.get_rng_state(), random)
    assert model.get_submodule("1").training is training
    assert model.get_submodule("1").momentum == 0.1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_one_callable_may_make_all_the_passes() -> None:
    model, optimizer = with_batch_norm()

    def passes() -> None:
        for k in range(4):
            model(batches()[k][0])

    with optimizer.averaged(passes):
        assert int(model.get_buffer("1.num_batches_tracked")) == 4
    assert int(model.get_buffer("1.num_batches_tracked")) == 5
