"""What each rank of two sees under DistributedDataParallel; started by `test_ddp`."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

import sls
from tests.sls.distributed.launch import run_cases
from tests.sls.distributed.problems import (
    ROUNDING_NOISE,
    STEPS,
    batch,
    cross_entropy,
    micro_batches,
    nan_on_one_rank,
    network,
    numbers,
    part,
    refused,
    smooth_network,
    train,
    uneven_micro_batches,
)
from tests.sls.optimizers import LINE_SEARCHES, PEAKS, Make, start_at


def noisy(make: Make, steps: range = range(STEPS), **ddp: Any) -> dict[str, Any]:
    """A run with dropout, BatchNorm and uneven batches."""
    model = DistributedDataParallel(network(), **ddp)
    torch.manual_seed(distributed.get_rank())
    optimizer = make(model.parameters())
    seen = train(model, optimizer, steps, lambda k: cross_entropy(model, part(k)))
    passes = int(model.module[1].num_batches_tracked)
    return {**seen, "params": numbers(model.parameters()), "passes_of_batch_norm": passes}


def divided(make: Make) -> dict[str, Any]:
    """A run whose batches are divided among the ranks."""
    model = DistributedDataParallel(smooth_network())
    optimizer = make(model.parameters())

    def loss_of(k: int) -> Tensor:
        return cross_entropy(model, part(k, torch.float64, even=True))

    seen = train(model, optimizer, range(STEPS), loss_of)
    return {**seen, "params": numbers(model.parameters())}


def whole(make: Make) -> dict[str, Any]:
    """The same run with all examples on every rank, and no wrapper."""
    model = smooth_network()
    optimizer = make(model.parameters())
    seen = train(
        model, optimizer, range(STEPS), lambda k: cross_entropy(model, batch(k, torch.float64))
    )
    return {**seen, "params": numbers(model.parameters())}


def train_alone(make: Make, first: int) -> dict[str, Any]:
    """A run without a wrapper, on the batches from this one on."""
    model = network()
    torch.manual_seed(0)
    optimizer = make(model.parameters())
    seen = train(model, optimizer, range(10), lambda k: cross_entropy(model, batch(first + k)))
    return {**seen, "params": numbers(model.parameters())}


def alone(make: Make) -> dict[str, Any]:
    """A model of each rank's own, with other batches on each rank."""
    return train_alone(make, distributed.get_rank())


def a_nan_on_one_rank(make: Make, at: int) -> dict[str, Any]:
    model = DistributedDataParallel(network())
    optimizer = make(model.parameters())
    return nan_on_one_rank(model, optimizer, at, lambda k: cross_entropy(model, part(k)))


def resumed(make: Make) -> dict[str, Any]:
    """The run of `noisy`, saved after half its steps; it goes on in new objects."""
    model = DistributedDataParallel(network())
    torch.manual_seed(distributed.get_rank())
    optimizer = make(model.parameters())
    train(model, optimizer, range(STEPS // 2), lambda k: cross_entropy(model, part(k)))
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()), file)
    file.seek(0)
    weights, state, random = torch.load(file, weights_only=True)
    again = DistributedDataParallel(network())
    optimizer = make(again.parameters())
    again.load_state_dict(weights)
    optimizer.load_state_dict(state)
    torch.set_rng_state(random)
    rest = range(STEPS // 2, STEPS)
    seen = train(again, optimizer, rest, lambda k: cross_entropy(again, part(k)))
    return {"params": numbers(again.parameters()), "losses": seen["losses"]}


def wrapped(**options: Any) -> nn.Module:
    return DistributedDataParallel(network(), **options)


def compiled_around() -> nn.Module:
    return torch.compile(wrapped(), backend="eager")


def compiled_within() -> nn.Module:
    return DistributedDataParallel(torch.compile(network(), backend="eager"))


def compiled_in_place() -> nn.Module:
    model = wrapped()
    model.compile(backend="eager")
    return model


def closures(wrap: Callable[[], nn.Module], *, runs_backward: bool) -> dict[str, Any]:
    """ALSALS from a step that is too large; a closure that may run backward in every trial."""
    model = wrap()
    torch.manual_seed(distributed.get_rank())
    optimizer = sls.ALSALS(model.parameters(), init_step=3.0)

    def loss_of(k: int) -> Tensor:
        loss = cross_entropy(model, part(k))
        if runs_backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    seen = train(model, optimizer, range(4), loss_of)
    return {**seen, "params": numbers(model.parameters())}


class Partly(nn.Module):
    """A network of which only one half is used in each batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.halves = nn.ModuleList([nn.Linear(5, 2), nn.Linear(5, 2)])

    def forward(self, x: Tensor, half: int) -> Tensor:
        return self.halves[half](x)


def unused_parameters() -> dict[str, Any]:
    model = DistributedDataParallel(Partly(), find_unused_parameters=True)
    optimizer = sls.AdamSLS(model.parameters())

    def loss_of(k: int) -> Tensor:
        x, y = part(k)
        return nn.functional.cross_entropy(model(x, k % 2), y)

    seen = train(model, optimizer, range(10), loss_of)
    return {**seen, "params": numbers(model.parameters())}


MicroBatches = Callable[[int], list[tuple[Tensor, Tensor]]]


def accumulated(parts: MicroBatches) -> dict[str, Any]:
    model = DistributedDataParallel(network())
    torch.manual_seed(distributed.get_rank())
    optimizer = sls.ALSALS(model.parameters(), init_step=3.0)
    for k in range(8):
        optimizer.step(sls.accumulate(partial(loss_of_micro_batch, model), parts(k)))
    return {"params": numbers(model.parameters())}


def accumulated_smooth(parts: MicroBatches, **ddp: Any) -> dict[str, Any]:
    """Accumulation equals the whole part, where examples do not see each other."""
    runs = []
    for micro_batches_of in (parts, partial(micro_batches, size=6)):
        model = DistributedDataParallel(smooth_network().float(), **ddp)
        optimizer = sls.ALSALS(model.parameters(), init_step=3.0)
        for k in range(5):
            loss_of = partial(loss_of_micro_batch, model)
            optimizer.step(sls.accumulate(loss_of, micro_batches_of(k)))
        runs.append(numbers(model.parameters()))
    return {"split": runs[0], "whole": runs[1]}


def reductions(make: Make) -> list[int]:
    """How often the gradients are averaged in each step of two micro-batches."""
    model = DistributedDataParallel(network())
    averaged: list[int] = []
    # DDP refuses annotations that are text.
    model.register_comm_hook(averaged, lambda steps, bucket: noted_average(steps, k, bucket))
    optimizer = make(model.parameters())
    for k in range(12):
        optimizer.step(sls.accumulate(partial(loss_of_micro_batch, model), micro_batches(k)))
    return [averaged.count(k) for k in range(12)]


def noted_average(steps: list[int], k: int, bucket: Any) -> Any:
    """DDP's own average of a bucket, in step k."""
    steps.append(k)
    return allreduce_hook(distributed.group.WORLD, bucket)


def uneven(model: nn.Module) -> dict[str, Any]:
    """What is said of uneven numbers of micro-batches, in a first step and in a later one."""
    seen = {}
    for name, steps in (("first", 0), ("later", 2)):
        optimizer = sls.ALSALS(model.parameters())
        closure_of = partial(sls.accumulate, partial(loss_of_micro_batch, model))
        for k in range(steps):
            optimizer.step(closure_of(micro_batches(k)))
        seen[name] = refused(optimizer, closure_of(uneven_micro_batches(0)))
    return seen


def static_graph() -> nn.Module:
    return DistributedDataParallel(smooth_network().float(), static_graph=True)


def with_sync_batch_norm() -> nn.Module:
    """The layer is not called, since it needs a GPU."""
    model = DistributedDataParallel(smooth_network().float())
    model.never_called = nn.SyncBatchNorm(2, affine=False)
    return model


def last_without_graph() -> None:
    model = DistributedDataParallel(network())
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(model, (x, y)) if len(x) > 1 else torch.zeros(())

    x, y = part(0, even=True)
    optimizer.step(sls.accumulate(loss_of, zip(x.split(5), y.split(5), strict=True)))


def buffers_of_micro_batches() -> list[list[float]]:
    """The counter in every evaluation of three steps of two micro-batches."""
    model = DistributedDataParallel(Counter())
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1, init_step=8.0)
    seen = []
    for _ in range(3):
        model.module.seen.clear()
        optimizer.step(sls.accumulate(model, [torch.ones(2), torch.ones(2)]))
        seen.append(list(model.module.seen))
    return seen


def loss_of_micro_batch(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model, (x, y))


def an_overflow_on_one_rank() -> dict[str, Any]:
    """A scaler; gradients of rank 1 overflow in step 3."""
    model = DistributedDataParallel(network())
    optimizer = sls.AdamSLS(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    scales, statuses = [], []
    for k in range(6):

        def closure(k: int = k) -> Tensor:
            loss = cross_entropy(model, part(k))
            if k == 3 and distributed.get_rank() == 1:
                weights = model.module[0].weight.sum()
                loss = loss + 1e37 * (weights - weights.detach())  # 0, with a steep gradient
            return loss

        optimizer.step(closure, scaler=scaler)
        scales.append(scaler.get_scale())
        statuses.append(optimizer.last_step.status.value)
    return {"scales": scales, "statuses": statuses, "params": numbers(model.parameters())}


def averaged() -> dict[str, Any]:
    """The average is the same on all ranks; afterwards all is as it was."""
    model = DistributedDataParallel(network())
    optimizer = sls.PeakSLS(model.parameters(), averaging=True)
    train(model, optimizer, range(10), lambda k: cross_entropy(model, part(k)))
    before = numbers(model.parameters())
    with optimizer.averaged(lambda k=k: model(part(k)[0]) for k in range(3)):
        within = numbers(model.parameters())
    return {"before": before, "within": within, "after": numbers(model.parameters())}


class Counter(nn.Module):
    """Adds a buffer that moves in every forward pass, by another number on each rank."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("count", torch.zeros(1))
        self.seen: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(float(self.count))
        loss = (self.weight * x + self.count).square().mean()
        self.count += distributed.get_rank() + 1
        return loss


def buffers_that_ddp_sends() -> list[list[float]]:
    """The counter in every evaluation of four steps; before the last one is a validation."""
    model = DistributedDataParallel(Counter())
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1, init_step=8.0)
    seen = []
    for k in range(4):
        if k == 3:
            with torch.no_grad():
                model(torch.ones(2))  # after which DDP does not send the buffers once
        model.module.seen.clear()
        optimizer.step(lambda: model(torch.ones(2)))
        seen.append(list(model.module.seen))
    return seen


def one_part_wrapped() -> None:
    wrapped, bare = DistributedDataParallel(nn.Linear(5, 4)), nn.Linear(4, 2)
    optimizer = sls.SLS([*wrapped.parameters(), *bare.parameters()], n_batches_per_epoch=1)
    optimizer.step(lambda: bare(wrapped(torch.ones(3, 5))).square().mean())


def two_parts_wrapped() -> dict[str, Any]:
    torch.manual_seed(0)
    parts = [DistributedDataParallel(nn.Linear(5, 4)), DistributedDataParallel(nn.Linear(4, 2))]
    params = [param for module in parts for param in module.parameters()]
    optimizer = sls.ALSALS(params)
    both = nn.Sequential(*parts)
    seen = train(both, optimizer, range(5), lambda k: cross_entropy(both, part(k)))
    return {**seen, "params": numbers(params)}


def with_join() -> None:
    from torch.distributed.algorithms.join import Join

    model = DistributedDataParallel(network())
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)
    with Join([model]):
        optimizer.step(lambda: cross_entropy(model, part(0)))


def mixed_precision() -> None:
    """DDP takes it on a GPU only; here it is set after the forward pass."""
    from torch.distributed.fsdp import MixedPrecision  # what DDP takes, too

    policy = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16)
    model = nn.Linear(5, 2)
    wrapped = DistributedDataParallel(model)
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)

    def closure() -> Tensor:
        loss = wrapped(torch.ones(3, 5)).square().mean()
        wrapped.mixed_precision = policy
        return loss

    optimizer.step(closure)


def two_groups() -> None:
    groups = [distributed.new_group([0, 1]) for _ in range(2)]
    parts = [DistributedDataParallel(nn.Linear(5, 5), process_group=group) for group in groups]
    params = [param for module in parts for param in module.parameters()]
    optimizer = sls.SLS(params, n_batches_per_epoch=1)
    optimizer.step(lambda: parts[1](parts[0](torch.ones(3, 5))).square().mean())


def fsdp1() -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = FullyShardedDataParallel(nn.Linear(5, 2), device_id=torch.device("cpu"))
    optimizer = sls.SLS(model.parameters(), n_batches_per_epoch=1)
    optimizer.step(lambda: model(torch.ones(3, 5)).square().mean())


def reads_of_the_host() -> dict[str, Any]:
    """How often a step reads a number, and how many trials it makes."""
    model = DistributedDataParallel(network())
    optimizer = sls.ALSALS(model.parameters())
    reads = []
    plain = Tensor.tolist

    def tolist(tensor: Tensor) -> Any:
        reads[-1] += 1
        return plain(tensor)

    Tensor.tolist = tolist  # type: ignore[method-assign]
    try:
        for k in range(3):
            reads.append(0)
            optimizer.step(lambda k=k: cross_entropy(model, part(k)))
    finally:
        Tensor.tolist = plain  # type: ignore[method-assign]
    return {"reads": reads[-1], "trials": optimizer.last_step.trials}


def held(params: Any) -> sls.PeakSLS:
    """PeakSLS that holds its peak from the eighth step on."""
    return sls.PeakSLS(params, total_steps=20)


def from_afar(make: Make) -> Make:
    """The line search from a first step that is far too large, so that trials are rejected."""
    return lambda params: start_at(make(params), 5.0)


MAKERS: dict[str, Make] = dict(PEAKS) | {name: from_afar(make) for name, make in LINE_SEARCHES}
WITH_NAN = {
    "SLS": (MAKERS["SLS"], 5),
    "ALSALS": (MAKERS["ALSALS"], 5),
    "PeakSLS": (MAKERS["PeakSLS"], 5),
    "PeakSLS-held": (held, 12),
}
MAKERS["budget"] = from_afar(
    lambda params: sls.ALSALS(params, search="budget", max_extra_forwards=0.3)
)
MAKERS["ALSALS-clipped"] = lambda params: sls.ALSALS(params, max_grad_norm=0.05)
MAKERS["PeakSLS-held"] = lambda params: sls.PeakSLS(params, total_steps=35, max_grad_norm=0.05)
DIVIDED = ("SLS", "PLASLS", "ALSALS", "SaLSA", "PeakSLS")
"""The others are in the slow tests, here and below."""
NOISY = ("SLS", "AdamSLS", "PLASLS", "ALSALS", "SaLSA", "budget", "ALSALS-around", "ALSALS-clipped")
NOISY += ("PeakSLS-averaged", "PeakSLS-held")
RESUMED = ("SaLSA", "budget", "PeakSLS-averaged", "PeakSLS-held")
WITH_BACKWARD = ("plain", "bucket views", "static graph")
OPTIONS: dict[str, dict[str, Any]] = {
    "bucket views": {"gradient_as_bucket_view": True},
    "static graph": {"static_graph": True},
    "no broadcast": {"broadcast_buffers": False},
    "unused": {"find_unused_parameters": True},
}

ACCUMULATED: dict[str, tuple[MicroBatches, dict[str, Any]]] = {
    "even": (micro_batches, {}),
    "uneven": (uneven_micro_batches, {}),
    "uneven, bucket views": (uneven_micro_batches, OPTIONS["bucket views"]),
    "static graph": (micro_batches, OPTIONS["static graph"]),
}


def divisions(*names: str) -> dict[str, Callable[[], Any]]:
    return {
        f"{kind} {name}": partial(run, MAKERS[name])
        for kind, run in (("divided", divided), ("whole", whole))
        for name in names
    }


CASES: dict[str, Callable[[], Any]] = {
    **{f"noisy {name}": partial(noisy, MAKERS[name]) for name in NOISY},
    **divisions(*DIVIDED),
    **{f"alone {name}": partial(alone, MAKERS[name]) for name in ("ALSALS", "PeakSLS")},
    **{f"nan {name}": partial(a_nan_on_one_rank, *case) for name, case in WITH_NAN.items()},
    **{f"resumed {name}": partial(resumed, MAKERS[name]) for name in RESUMED},
    **{
        f"{name} forward": partial(closures, partial(wrapped, **options), runs_backward=False)
        for name, options in {"plain": {}, **OPTIONS}.items()
    },
    **{
        f"{name} backward": partial(
            closures, partial(wrapped, **OPTIONS.get(name, {})), runs_backward=True
        )
        for name, options in {"plain": {}, **OPTIONS}.items()
        if name in WITH_BACKWARD
    },
    "unused parameters": unused_parameters,
    "accumulated": partial(accumulated, micro_batches),
    "accumulated, uneven": partial(accumulated, uneven_micro_batches),
    **{
        f"accumulated smooth {name}": partial(accumulated_smooth, parts, **options)
        for name, (parts, options) in ACCUMULATED.items()
    },
    **{
        f"reductions {name}": partial(reductions, MAKERS[name])
        for name in ("ALSALS", "PeakSLS-held")
    },
    "uneven static graph": lambda: uneven(static_graph()),
    "uneven SyncBatchNorm": lambda: uneven(with_sync_batch_norm()),
    "last without graph": last_without_graph,
    "buffers of micro-batches": buffers_of_micro_batches,
    "overflow": an_overflow_on_one_rank,
    "averaged": averaged,
    "buffers": buffers_that_ddp_sends,
    "one part": one_part_wrapped,
    "two parts": two_parts_wrapped,
    "join": with_join,
    "mixed precision": mixed_precision,
    "two groups": two_groups,
    "fsdp1": fsdp1,
    "reads": reads_of_the_host,
}

COMPILED = {
    "compiled around": compiled_around,
    "compiled within": compiled_within,
    "compiled in place": compiled_in_place,
}
SLOW_CASES = {
    **{
        name: partial(closures, wrap, runs_backward=False)
        for name, wrap in {"plain forward": wrapped, **COMPILED}.items()
    },
    **{f"noisy {name}": partial(noisy, MAKERS[name]) for name in sorted(MAKERS.keys() - {*NOISY})},
    **divisions(*sorted(MAKERS.keys() - {*DIVIDED} - ROUNDING_NOISE)),
}

if __name__ == "__main__":
    run_cases({"quick": CASES, "slow": SLOW_CASES})
