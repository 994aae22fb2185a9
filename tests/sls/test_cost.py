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

from sls import ALSALS, SLS, AdamSLS, LineSearch, SaLSA, parameters
from sls.pieces import SIZE
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
        monkeypatch.setattr(parameters, "ON_HOST", frozenset())

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
    assert made_in_models(optimizer, params) <= 1 + 4 * SIZE / (8 * 1024**2)


def test_a_repeated_step_makes_no_copy_of_the_model() -> None:
    params = large()
    optimizer = ALSALS(params, search="adaptive", growth=1.0)
    for _ in range(11):
        optimizer.step(lambda: sum((p * p).mean() for p in params))
    assert made_in_models(optimizer, params) <= 4 * SIZE / (8 * 1024**2)
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
