"""On a GPU: the CPU's walk, replayed random numbers, waits of the host, memory, float16, compile.

Skipped without CUDA. The CPU's numbers, which the twins judge, are the truth here.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sls import ALSALS, AdamSLS, PeakSLS
from sls.devices import DEVICE
from tests.sls.optimizers import EVERY, Make, each, each_optimizer
from tests.sls.problems import BATCH_SIZE, N_BATCHES

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.fixture(autouse=True)
def the_same_numbers_each_time() -> Iterator[None]:
    """cuDNN's and cuBLAS' deterministic kernels; no TensorFloat-32."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
        yield
    torch.backends.cudnn.deterministic = before


def network(*layers: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    first, last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 64, 3)
    return nn.Sequential(first, *layers, nn.ReLU(), nn.Flatten(), last).to(dtype)


def batches(device: str, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    size = N_BATCHES * BATCH_SIZE
    inputs = torch.randn(size, 1, 8, 8, generator=generator, dtype=torch.float64)
    targets = inputs.flatten(1)[:, :3].argmax(1)
    parts = zip(inputs.to(dtype).split(BATCH_SIZE), targets.split(BATCH_SIZE), strict=True)
    return [(x.to(device), y.to(device)) for x, y in parts]


def train(
    make: Make, model: nn.Module, device: str, steps: int = 40
) -> tuple[Tensor, list[float], list[int]]:
    """The parameters, losses and forward passes of a run."""
    model, data = model.to(device), batches(device, next(model.parameters()).dtype)
    optimizer = make(model.parameters())
    losses, passes = [], []
    for k in range(steps):
        x, y = data[k % N_BATCHES]
        loss = optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x), y))
        losses.append(float(loss))
        passes.append(optimizer.last_step.forwards)
    return nn.utils.parameters_to_vector(model.parameters()).detach().cpu(), losses, passes


@each_optimizer
def test_a_gpu_walks_as_the_cpu(make: Make) -> None:
    model = network(nn.BatchNorm2d(4))
    theirs = train(make, copy.deepcopy(model), "cpu")
    mine = train(make, model, GPU)
    torch.testing.assert_close(mine[0], theirs[0], rtol=1e-7, atol=1e-9)
    assert mine[1] == pytest.approx(theirs[1], rel=1e-7)
    assert mine[2] == theirs[2]


@each_optimizer
def test_the_same_seed_gives_the_same_run_to_the_bit(make: Make) -> None:
    ends = []
    for _ in range(2):
        model = network(nn.BatchNorm2d(4), nn.Dropout(0.3))
        torch.manual_seed(4)
        ends.append(train(make, model, GPU))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1:] == ends[1][1:]


@each_optimizer
def test_a_step_leaves_generator_and_buffers_as_one_forward_pass(make: Make) -> None:
    """From a first step far too large, so that a search tries many."""
    model = network(nn.BatchNorm2d(4), nn.Dropout(0.3)).to(GPU)
    alone = copy.deepcopy(model)
    x, y = batches(GPU)[0]
    torch.manual_seed(5)
    alone(x)
    expected = torch.cuda.get_rng_state()
    optimizer = make(model.parameters())
    optimizer.param_groups[0]["init_step"] = 1e3
    torch.manual_seed(5)
    optimizer.step(lambda: nn.functional.cross_entropy(model(x), y))
    assert torch.equal(torch.cuda.get_rng_state(), expected)
    for mine, theirs in zip(model.buffers(), alone.buffers(), strict=True):
        assert torch.equal(mine, theirs)


@each_optimizer
def test_a_run_goes_on_from_its_state_to_the_bit(make: Make) -> None:
    model = network(nn.Dropout(0.3)).to(GPU)
    data = batches(GPU)
    optimizer = make(model.parameters())

    def go(model: nn.Module, optimizer: Any, steps: range) -> Tensor:
        for k in steps:
            x, y = data[k % N_BATCHES]
            optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x), y))
        return nn.utils.parameters_to_vector(model.parameters())

    go(model, optimizer, range(12))
    again = copy.deepcopy(model)
    fresh = make(again.parameters())
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    random = torch.cuda.get_rng_state()
    whole = go(model, optimizer, range(12, 24))
    torch.cuda.set_rng_state(random)
    assert torch.equal(go(again, fresh, range(12, 24)), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_optimizer
def test_the_fused_kernel_is_the_loop_to_rounding(make: Make, dtype: torch.dtype) -> None:
    ends = []
    for foreach in (None, False):
        model = network(dtype=dtype)

        def of_one_kind(params: Any, foreach: bool | None = foreach) -> Any:
            optimizer = make(params)
            optimizer.param_groups[0]["foreach"] = foreach
            return optimizer

        ends.append(train(of_one_kind, model, GPU, steps=10)[0])
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(*ends, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------- waits of the host


@contextmanager
def counted_waits() -> Iterator[list[str]]:
    """The places at which the host waits for the GPU in this context, as torch sees them."""
    waits: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for one in caught:
        if "synchroniz" in str(one.message) and "prototype" not in str(one.message):
            waits.append(f"{one.filename}:{one.lineno}")


def batch_loss(model: nn.Module) -> Callable[[], Tensor]:
    x, y = batches(GPU)[0]
    return lambda: nn.functional.cross_entropy(model(x), y)


@pytest.mark.parametrize("init_step", [1e-3, 1e3])
@pytest.mark.parametrize("make", [AdamSLS, ALSALS])
def test_a_search_waits_once_a_trial(make: Make, init_step: float) -> None:
    model = network(nn.BatchNorm2d(4), nn.Dropout(0.3)).to(GPU)
    optimizer, loss = make(model.parameters(), init_step=init_step), batch_loss(model)
    for _ in range(3):  # the first steps look whether the loss repeats
        optimizer.step(loss)
    with counted_waits() as waits:
        optimizer.step(loss)
    assert len(waits) == optimizer.last_step.trials, waits


def test_a_repeated_step_waits_once() -> None:
    model = network(nn.BatchNorm2d(4)).to(GPU)
    optimizer, loss = ALSALS(model.parameters(), search="adaptive", growth=1.0), batch_loss(model)
    for _ in range(15):
        optimizer.step(loss)
    with counted_waits() as waits:
        optimizer.step(loss)
    assert not optimizer.last_step.searched
    assert len(waits) <= 1, waits


def test_a_held_peak_does_not_wait() -> None:
    model = network(nn.BatchNorm2d(4)).to(GPU)
    optimizer, loss = PeakSLS(model.parameters(), total_steps=400), batch_loss(model)
    for _ in range(201):
        optimizer.step(loss)
    assert optimizer.search_state.peak.phase == "held"
    with counted_waits() as waits:
        for _ in range(40):
            optimizer.step(loss)
    assert len(waits) <= 2, waits  # one in twenty steps, to see that all is finite


# -------------------------------------------------------------------------------------- memory


def peak_beyond(optimizer: Any, loss: Callable[[], Tensor]) -> int:
    """Bytes that a step needs at most beyond those of a forward and a backward pass."""
    peaks = []
    for evaluate in (lambda: loss().backward(), lambda: optimizer.step(loss)):
        optimizer.zero_grad()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        evaluate()
        torch.cuda.synchronize()
        peaks.append(torch.cuda.max_memory_allocated())
    return peaks[1] - peaks[0]


@pytest.mark.parametrize(
    ("make", "copies"),
    [
        (AdamSLS, 1),
        (ALSALS, 1),
        (lambda params: ALSALS(params, search="adaptive", growth=1.0), 0),
    ],
    ids=["AdamSLS", "ALSALS", "ALSALS, repeated"],
)
def test_a_step_needs_a_copy_of_the_model_to_search_and_else_none(make: Make, copies: int) -> None:
    """A gigabyte; a piece has d, both moments and, for the slope, g and d once more."""
    params = [nn.Parameter(torch.randn(2048, 2048, device=GPU)) for _ in range(64)]
    size = sum(param.nbytes for param in params)
    optimizer = make(params)

    def loss() -> Tensor:
        return sum((param * param).mean() for param in params)

    for _ in range(15):
        optimizer.step(loss)
    workspace = 6 * DEVICE.piece * params[0].element_size()
    assert peak_beyond(optimizer, loss) <= copies * size + workspace


# ------------------------------------------------------------------------- types, compiled code


@each_optimizer
def test_bfloat16_trains(make: Make) -> None:
    model = network(dtype=torch.float32).to(GPU)
    optimizer, data = make(model.parameters()), batches(GPU, torch.float32)
    optimizer.param_groups[0]["init_step"] = 1e-3
    losses = []
    for k in range(60):
        x, y = data[k % N_BATCHES]
        with torch.autocast(GPU, dtype=torch.bfloat16):
            losses.append(optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x), y)))
    assert losses[-1] < losses[0]


@each([(name, make) for name, make in EVERY if name != "ALSALS.paper"])
def test_float16_with_a_scaler_trains(make: Make) -> None:
    """Where the slope is exact: a finite difference of half precision is noise."""
    model = network(dtype=torch.float32).to(GPU)
    optimizer, data = make(model.parameters()), batches(GPU, torch.float32)
    optimizer.param_groups[0]["init_step"] = 1e-3
    scaler = torch.amp.GradScaler(GPU, init_scale=2.0**22)  # its first steps overflow

    def closure(k: int) -> Tensor:
        x, y = data[k % N_BATCHES]
        with torch.autocast(GPU, dtype=torch.float16):
            return nn.functional.cross_entropy(model(x), y)

    losses = [float(optimizer.step(lambda k=k: closure(k), scaler=scaler)) for k in range(60)]
    assert losses[-1] < losses[0]
    assert scaler.get_scale() < 2.0**22


@pytest.mark.parametrize("make", [ALSALS, PeakSLS])
def test_a_compiled_model_walks_as_an_eager_one(make: Make) -> None:
    ends = []
    for compiled in (False, True):
        model = network(dtype=torch.float64).to(GPU)
        if compiled:
            model.compile(fullgraph=True)
        ends.append(train(make, model, GPU, steps=12)[0])
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8)
