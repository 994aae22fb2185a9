"""What a step costs: synchronisations, memory; foreach kernels equal the loop (10)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sls import ALSALS, SLS, AdamSLS, LineSearch, PeakSLS, SaLSA, devices
from sls.devices import HOST
from sls.pieces import pieces
from tests.sls.optimizers import EVERY
from tests.sls.problems import PROBLEMS, vector_of


class Synchronisations(TorchDispatchMode):
    """Counts the reads of a tensor's value by the host, as if it were on another device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        super().__init__()
        self.count = 0
        plain = Tensor.tolist

        def tolist(tensor: Tensor) -> Any:  # does not pass the dispatcher
            self.count += 1
            return plain(tensor)

        monkeypatch.setattr(Tensor, "tolist", tolist)
        monkeypatch.setattr(devices, "ON_HOST", frozenset())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer_class", [SLS, AdamSLS, ALSALS])
@pytest.mark.parametrize("init_step", [1e-3, 1e3])
def test_one_synchronisation_an_extra_forward_pass_and_none_elsewhere(
    optimizer_class: type, init_step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = PROBLEMS["network"]()
    optimizer = optimizer_class(module.parameters(), init_step=init_step)
    with Synchronisations(monkeypatch) as synchronisations:
        for k in range(5):
            before, looked = synchronisations.count, optimizer.hints.looked
            optimizer.step(lambda k=k: module(k))
            looks = optimizer.hints.looked - looked  # whether the loss repeats, once a run
            assert synchronisations.count - before == optimizer.last_step.trials + looks


def test_a_repeated_step_synchronises_once_to_see_that_all_is_finite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = PROBLEMS["network"]()
    optimizer = SaLSA(module.parameters(), init_step=1e-3, growth=1.0)
    for k in range(10):
        optimizer.step(lambda k=k: module(k))
    with Synchronisations(monkeypatch) as synchronisations:
        optimizer.step(lambda: module(10))
    assert not optimizer.last_step.searched
    assert (optimizer.last_step.forwards, synchronisations.count) == (1, 1)


NO_LAUNCH = ("detach", "empty_like", "view", "alias", "slice", "unsqueeze")
"""Operations that move no numbers: they make tensors, or views of them."""


class Launches(TorchDispatchMode):
    """Counts the operations that a GPU would be sent, but those of the closure."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.outside = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += self.outside and func.overloadpacket.__name__ not in NO_LAUNCH
        return func(*args, **(kwargs or {}))


def launches_of_a_step(make: Any, layers: int, steps_before: int) -> int:
    torch.manual_seed(0)
    network = nn.Sequential(
        *[nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.BatchNorm1d(8)) for _ in range(layers)]
    )
    inputs = torch.randn(16, 8)
    optimizer = make(network.parameters())
    launches = Launches()

    def closure() -> Tensor:
        launches.outside = False
        loss = (network(inputs) - 1).square().mean()
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        launches.outside = True
        return loss.detach()

    for _ in range(steps_before):
        optimizer.step(closure)
    with launches:
        optimizer.step(closure)
    return launches.count


@pytest.mark.parametrize(
    ("make", "steps_before"),
    [
        pytest.param(lambda params: SLS(params, init_step=1e-5), 3, id="SLS"),
        pytest.param(lambda params: AdamSLS(params, init_step=1e-5), 3, id="AdamSLS"),
        pytest.param(lambda params: ALSALS(params, init_step=1e-5), 3, id="ALSALS"),
        pytest.param(
            lambda params: ALSALS(params, search="adaptive", growth=1.0), 12, id="ALSALS, repeated"
        ),
        pytest.param(PeakSLS, 5, id="PeakSLS, rising"),
        pytest.param(lambda params: PeakSLS(params, total_steps=30), 28, id="PeakSLS, held"),
    ],
)
def test_a_model_of_more_tensors_takes_no_more_launches(
    make: Any, steps_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU a launch costs as much as the work on a small tensor."""
    monkeypatch.setattr(devices, "ON_HOST", frozenset())
    few, many = (launches_of_a_step(make, layers, steps_before) for layers in (2, 12))
    assert few == many


def test_a_gpu_takes_a_large_model_in_few_pieces() -> None:
    """Pieces of a megabyte, which suit a CPU's cache, made a step of GPT-2 twenty times slower."""
    block = [(768, 3072), (3072, 768), (768, 2304), (768, 768), *[(768,)] * 8]
    shapes = [(50257, 768), (1024, 768), *(block * 12)]
    gpt2 = [torch.empty(shape, device="meta") for shape in shapes]
    assert len(list(pieces(gpt2))) <= 10


def test_forwards_are_one_more_than_trials_with_an_exact_slope() -> None:
    module = PROBLEMS["network"]()
    optimizer = ALSALS(module.parameters(), init_step=100.0)
    calls = []
    for k in range(10):
        calls.clear()
        optimizer.step(lambda k=k: calls.append(k) or module(k))
        record = optimizer.last_step
        assert len(calls) == record.forwards == record.trials + 1


@pytest.mark.parametrize("make", [make for _, make in EVERY], ids=[name for name, _ in EVERY])
def test_foreach_equals_the_loop_to_the_bit(make: Any) -> None:
    results = []
    for foreach in (True, False):
        module = PROBLEMS["network"]().float()
        module.inputs = [x.float() for x in module.inputs]
        optimizer: LineSearch = make(module.parameters())
        optimizer.param_groups[0]["foreach"] = foreach
        for k in range(40):
            optimizer.step(lambda module=module, k=k: module(k))
        results.append((vector_of(module), optimizer.search_state))
    assert (results[0][0] == results[1][0]).all()
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize("make", [make for _, make in EVERY], ids=[name for name, _ in EVERY])
def test_the_fused_kernel_equals_the_others_to_rounding(make: Any) -> None:
    results = []
    for foreach in (None, True):
        module = PROBLEMS["network"]()
        optimizer: LineSearch = make(module.parameters())
        optimizer.param_groups[0]["foreach"] = foreach
        for k in range(40):
            optimizer.step(lambda module=module, k=k: module(k))
        results.append(vector_of(module))
    np.testing.assert_allclose(*results, rtol=1e-9)


class PeakOfTensors(TorchDispatchMode):
    """The greatest number of bytes in tensor storages made, and still alive, in this context.

    Args:
        there: tensors that are there before and not counted.
    """

    def __init__(self, there: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.alive = {tensor.untyped_storage()._cdata: 0 for tensor in there}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._watch(tensor)
        return result

    def _watch(self, tensor: Tensor) -> None:
        import weakref

        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            weakref.finalize(storage, self.alive.pop, key, None)
            self.peak = max(self.peak, sum(self.alive.values()))


def made_in_models(optimizer: Any, params: list[nn.Parameter]) -> float:
    """What one step makes at most beyond the closure's own, in multiples of the parameters."""
    state = [x for one in optimizer.state.values() for x in one.values() if isinstance(x, Tensor)]

    def closure() -> Tensor:
        return sum((p * p).mean() for p in params)

    peaks = []
    for evaluate in (lambda: closure().backward(), lambda: optimizer.step(closure)):
        for param in params:
            param.grad = None
        with PeakOfTensors(there=[*params, *state]) as peak:
            evaluate()
        peaks.append(peak.peak)
    return (peaks[1] - peaks[0]) / sum(p.nbytes for p in params)


def large() -> list[nn.Parameter]:
    """So many numbers that no copy of them belongs to a bounded workspace."""
    return [nn.Parameter(torch.randn(1024, 1024)) for _ in range(8)]


@pytest.mark.parametrize("optimizer_class", [SLS, AdamSLS, ALSALS])
def test_a_searching_step_makes_one_copy_of_the_model(optimizer_class: type) -> None:
    """The copy of w; of d, and of what makes it, there is no more than a piece at a time."""
    params = large()
    optimizer = optimizer_class(params)
    for _ in range(2):
        optimizer.step(lambda: sum((p * p).mean() for p in params))
    assert made_in_models(optimizer, params) <= 1 + 4 * HOST.piece / (8 * 1024**2)


def test_a_repeated_step_makes_no_copy_of_the_model() -> None:
    params = large()
    optimizer = ALSALS(params, search="adaptive", growth=1.0)
    for _ in range(11):
        optimizer.step(lambda: sum((p * p).mean() for p in params))
    assert made_in_models(optimizer, params) <= 4 * HOST.piece / (8 * 1024**2)
    assert not optimizer.last_step.searched


def test_no_object_of_the_model_is_copied() -> None:
    """A deep copy of a model of many small modules would show in Python's memory."""
    module = nn.Sequential(*[nn.Linear(1, 1) for _ in range(500)])
    optimizer = SLS(module.parameters())
    x = torch.ones(1, 1)
    optimizer.step(lambda: module(x).square().mean())
    tracemalloc.start()
    optimizer.step(lambda: module(x).square().mean())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
