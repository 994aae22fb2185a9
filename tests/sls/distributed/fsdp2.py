"""What each rank of two sees under fully_shard (FSDP2), and under DDP; started by `test_fsdp2`."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

import sls
from tests.sls.distributed.launch import run_cases
from tests.sls.distributed.problems import (
    ROUNDING_NOISE,
    batch,
    cross_entropy,
    micro_batches,
    nan_on_one_rank,
    numbers,
    params_of,
    part,
    refused,
    smooth_network,
    train,
    uneven_micro_batches,
)
from tests.sls.optimizers import LINE_SEARCHES, PEAKS, Make, start_at

STEPS = 10


def sharded(*, mesh: tuple[int, ...] = (2,), **options: Any) -> nn.Module:
    """The smooth network, its first layer sharded by itself and the rest by the outermost module.

    A forward pass without backward leaves the rest unsharded.
    """
    model = smooth_network()
    return shard(model, model[0], mesh=mesh, **options)


def shard(
    model: nn.Module, *parts: nn.Module, mesh: tuple[int, ...] = (2,), **options: Any
) -> nn.Module:
    names = ("replicate", "shard")[-len(mesh) :]
    device_mesh = init_device_mesh("cpu", mesh, mesh_dim_names=names)
    for module in parts:
        fully_shard(module, mesh=device_mesh, **options)
    return fully_shard(model, mesh=device_mesh, **options)


def replicated() -> nn.Module:
    return DistributedDataParallel(smooth_network())


def loss_of(model: nn.Module, k: int) -> Tensor:
    return cross_entropy(model, part(k, torch.float64))


def run(wrap: Callable[[], nn.Module], make: Make) -> dict[str, Any]:
    model = wrap()
    optimizer = make(model.parameters())
    seen = train(model, optimizer, range(STEPS), partial(loss_of, model))
    return {**seen, "last": last_loss(model), "params": numbers(params_of(optimizer))}


@torch.no_grad()
def last_loss(model: nn.Module) -> float:
    """What a forward pass sees after the last step; it must be what the optimizer has written."""
    return float(cross_entropy(model, batch(0, torch.float64)))


def resumed(make: Make) -> dict[str, Any]:
    """A run that is saved, each rank for itself, after half its steps, and goes on elsewhere."""
    model = sharded()
    optimizer = make(model.parameters())
    train(model, optimizer, range(STEPS // 2), partial(loss_of, model))
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=False)
    again = sharded()
    optimizer = make(again.parameters())
    again.load_state_dict(weights)
    optimizer.load_state_dict(state)
    seen = train(again, optimizer, range(STEPS // 2, STEPS), partial(loss_of, again))
    return {"params": numbers(params_of(optimizer)), "steps": seen["steps"]}


def resumed_by_torch(make: Make) -> dict[str, Any]:
    """The same through the functions of torch.distributed.checkpoint."""
    model = sharded()
    optimizer = make(model.parameters())
    train(model, optimizer, range(STEPS // 2), partial(loss_of, model))
    options = StateDictOptions(full_state_dict=True)
    weights, state = get_state_dict(model, optimizer, options=options)
    again = sharded()
    optimizer = make(again.parameters())
    set_state_dict(
        again, optimizer, model_state_dict=weights, optim_state_dict=state, options=options
    )
    seen = train(again, optimizer, range(STEPS // 2, STEPS), partial(loss_of, again))
    return {"params": numbers(params_of(optimizer)), "steps": seen["steps"]}


def accumulated(wrap: Callable[[], nn.Module]) -> list[float]:
    """The parameters after steps of two micro-batches."""
    model = wrap()
    optimizer = MAKERS["ALSALS"](model.parameters())
    for k in range(5):
        optimizer.step(sls.accumulate(partial(loss_of_micro_batch, model), micro_batches(k)))
    return numbers(params_of(optimizer))


def loss_of_micro_batch(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model, (x.double(), y))


def uneven(make: Make, steps: int) -> dict[str, Any]:
    """What is said of uneven numbers of micro-batches after so many steps; one step more."""
    model = sharded()
    optimizer = make(model.parameters())
    closure_of = partial(sls.accumulate, partial(loss_of_micro_batch, model))
    for k in range(steps):
        optimizer.step(closure_of(micro_batches(k)))
    seen = refused(optimizer, closure_of(uneven_micro_batches(0)))
    optimizer.step(closure_of(micro_batches(0)))
    return {**seen, "moved": numbers(params_of(optimizer)) != seen["after"]}


def a_nan_on_one_rank(make: Make, at: int) -> dict[str, Any]:
    model = sharded()
    return nan_on_one_rank(model, make(model.parameters()), at, partial(loss_of, model))


class Steep(nn.Module):
    """A network and two numbers, the first of which has a gradient of NaN where `steep`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = smooth_network()
        self.numbers = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor, steep: bool) -> Tensor:
        still = self.numbers - self.numbers.detach()
        return self.network(x) + (still[0].sqrt() if steep else still.sum())


def a_nan_in_one_shard(wrap: Callable[[nn.Module], nn.Module]) -> list[float]:
    """The parameters after a gradient of NaN in the shard of rank 0, at the held peak."""
    model = wrap(Steep())
    optimizer = MAKERS["PeakSLS-held"](model.parameters())

    def loss_with_nan(k: int) -> Tensor:
        x, y = part(k, torch.float64)
        return nn.functional.cross_entropy(model(x, k == 7), y)

    train(model, optimizer, range(STEPS), loss_with_nan)
    return numbers(params_of(optimizer))


def closure_with_backward() -> dict[str, Any]:
    model = sharded()
    optimizer = MAKERS["ALSALS"](model.parameters())

    def closure(k: int) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, k)
        loss.backward()
        return loss

    seen = train(model, optimizer, range(STEPS), closure)
    return {**seen, "last": last_loss(model), "params": numbers(params_of(optimizer))}


def averaged() -> dict[str, Any]:
    """Losses before, within and after `averaged`; forward passes leave the root unsharded."""
    model = sharded()
    optimizer = sls.PeakSLS(model.parameters(), averaging=True)
    train(model, optimizer, range(10), partial(loss_of, model))
    seen = {"before": last_loss(model)}
    with optimizer.averaged():
        seen["within"] = last_loss(model)
        average = numbers(params_of(optimizer))
    plain = smooth_network()
    nn.utils.vector_to_parameters(torch.tensor(average, dtype=torch.float64), plain.parameters())
    return {**seen, "after": last_loss(model), "of the average": last_loss(plain)}


def low_precision() -> dict[str, Any]:
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    return run(partial(sharded, mp_policy=policy), MAKERS["ALSALS"])


def built_too_early() -> None:
    model = nn.Linear(5, 2)
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    optimizer.step(lambda: model(torch.ones(3, 5)).square().mean())


def one_part_sharded() -> None:
    shards, bare = nn.Linear(5, 4), nn.Linear(4, 2)
    fully_shard(shards, mesh=init_device_mesh("cpu", (2,)))
    optimizer = sls.SLS([*shards.parameters(), *bare.parameters()], n_batches_per_epoch=1)
    optimizer.step(lambda: bare(shards(torch.ones(3, 5))).square().mean())


def tensor_parallel() -> None:
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    model = nn.Sequential(nn.Linear(5, 4))
    mesh = init_device_mesh("cpu", (2,))
    model = parallelize_module(model, mesh, {"0": ColwiseParallel()})
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)
    optimizer.step(lambda: model(torch.ones(3, 5)).square().mean())


MAKERS: dict[str, Make] = dict(PEAKS)
for name, make in LINE_SEARCHES:
    MAKERS[name] = lambda params, make=make: start_at(make(params), 5.0)
MAKERS["ALSALS-clipped"] = lambda params: sls.ALSALS(params, max_grad_norm=0.05)
MAKERS["SLS-tiny"] = lambda params: sls.SLS(params, n_batches_per_epoch=1, init_step=1e-9)
MAKERS["SLS-huge"] = lambda params: sls.SLS(params, n_batches_per_epoch=1, init_step=1e6)
MAKERS["PeakSLS-held"] = lambda params: sls.PeakSLS(params, total_steps=STEPS, max_grad_norm=0.05)
COMPARED = ("PLASLS", "ALSALS-around", "SaLSA", "PeakSLS-averaged", "PeakSLS-held", "SLS-tiny")
"""Every part of a step is in one of these; the others are compared by the slow tests."""
BY_TORCH = ("PLASLS", "PeakSLS-averaged")
RESUMED = ("ALSALS-around", "PeakSLS-averaged", "PeakSLS-held")
WITH_NAN = {
    "PLASLS": (MAKERS["PLASLS"], 7),
    "PeakSLS": (MAKERS["PeakSLS"], 5),
    "PeakSLS-held": (MAKERS["PeakSLS-held"], 8),
}

UNEVEN = {
    "at first": (MAKERS["ALSALS"], 0),
    "later": (MAKERS["ALSALS"], 2),
    "held": (MAKERS["PeakSLS-held"], 8),
}


def compared(*names: str) -> dict[str, Callable[[], Any]]:
    return {
        f"{kind} {name}": partial(run, wrap, MAKERS[name])
        for kind, wrap in (("sharded", sharded), ("replicated", replicated))
        for name in names
    }


CASES: dict[str, Callable[[], Any]] = {
    **compared(*COMPARED, "ALSALS"),
    "two dimensions": partial(run, partial(sharded, mesh=(2, 1)), MAKERS["ALSALS"]),
    "resharded": partial(run, partial(sharded, reshard_after_forward=True), MAKERS["ALSALS"]),
    **{f"resumed {name}": partial(resumed, MAKERS[name]) for name in RESUMED},
    **{f"by torch {name}": partial(resumed_by_torch, MAKERS[name]) for name in BY_TORCH},
    **{f"nan {name}": partial(a_nan_on_one_rank, *case) for name, case in WITH_NAN.items()},
    "one shard": partial(a_nan_in_one_shard, shard),
    "one shard of replicas": partial(a_nan_in_one_shard, DistributedDataParallel),
    "accumulated": partial(accumulated, sharded),
    "accumulated by replicas": partial(accumulated, replicated),
    **{f"uneven {name}": partial(uneven, *case) for name, case in UNEVEN.items()},
    "backward": closure_with_backward,
    "averaged": averaged,
    "built too early": built_too_early,
    "one part": one_part_sharded,
    "tensor parallel": tensor_parallel,
}

SLOW_CASES: dict[str, Callable[[], Any]] = {
    **compared(*sorted(MAKERS.keys() - {*COMPARED, "ALSALS"} - ROUNDING_NOISE)),
    "mixed precision": low_precision,
}

if __name__ == "__main__":
    run_cases({"quick": CASES, "slow": SLOW_CASES})
