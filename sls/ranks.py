"""The numbers of all ranks, so that every rank decides alike.

They are gathered, and every rank adds them in the order of ranks: a result that does not hang on
how a backend sums. Nothing is read by the host here, but for `require_equal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

OTHER_MESH = """\
a parameter is a DTensor on {mesh} with placements {placements}. Supported are the parameters of \
fully_shard on one mesh, of one dimension (FSDP) or two (HSDP), without tensor parallelism."""

TWO_GROUPS = """\
the closure calls DistributedDataParallel modules with different process groups; one optimizer can \
follow one group."""

LOW_PRECISION_DDP = """\
DistributedDataParallel(mixed_precision=...) is not supported: it leaves its casts behind after a \
forward pass without backward. Use torch.autocast in the closure."""

JOINED = """\
steps within DistributedDataParallel.join() or Join are not supported: ranks that have run out of \
batches do not take part in the searches of the others. Give all ranks the same number of batches, \
as DistributedSampler does; the last ones may differ in size."""

UNEVEN = """\
the ranks have different numbers of micro-batches: {numbers}. {reason} Give all ranks the same \
number, as DistributedSampler does; the sizes may differ."""


class Alone:
    """One process with the whole model: every number is what it is."""

    def mean(self, loss: Tensor) -> Tensor:
        """The loss that the step minimizes."""
        return loss

    def slopes(self, *slopes: Tensor) -> Sequence[Tensor]:
        """Inner products over all parameters, from those over the parameters that are here."""
        return slopes

    def norm(self, norm: Tensor) -> Tensor:
        """The norm over all parameters, from that over the parameters that are here."""
        return norm

    def largest(self, number: Tensor) -> Tensor:
        """The largest number, or NaN, over all parameters, from that over those that are here."""
        return number


ALONE = Alone()


class Replicas(Alone):
    """Processes with a copy of the model each (DDP), whose gradients are averaged.

    Gradients, and so norms, are the same on every rank. Slopes are, too, where all ranks compute
    alike; they are averaged, since two ranks of different hardware that decide differently would
    wait for each other for ever.

    Args:
        groups: process groups; a number goes through them one after the other.
        device: where their collectives take place.
    """

    def __init__(self, groups: Sequence[distributed.ProcessGroup], device: torch.device):
        self._groups = groups
        self._device = device

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of the ranks' losses, equally weighted, as their gradients are."""
        return self._gathered(loss).mean().to(loss.dtype)

    def slopes(self, *slopes: Tensor) -> Sequence[Tensor]:
        """The means over the ranks, in one collective."""
        return self._combined(slopes, 1 / self._size)

    def require_equal(self, micro_batches: int, reason: str) -> None:
        """Raise on all ranks if their numbers of micro-batches differ; read by the host.

        Args:
            micro_batches: the number on this rank.
            reason: why the numbers have to be equal.

        Raises:
            RuntimeError: names the number of each rank.
        """
        if self._size == 1:
            return
        own = torch.tensor([distributed.get_rank(), micro_batches])
        numbers = [(int(rank), int(number)) for rank, number in self._gathered(own).tolist()]
        if len({number for _, number in numbers}) > 1:
            text = ", ".join(f"{number} on rank {rank}" for rank, number in sorted(numbers))
            raise RuntimeError(UNEVEN.format(numbers=text, reason=reason))

    @property
    def _size(self) -> int:
        size = 1
        for group in self._groups:
            size *= group.size()
        return size

    def _combined(self, slopes: Sequence[Tensor], weight: float) -> Sequence[Tensor]:
        sums = self._gathered(torch.stack(list(slopes))).sum(dim=0) * weight
        return sums.to(slopes[0].dtype).unbind()

    def _gathered(self, numbers: Tensor) -> Tensor:
        """The numbers of every rank, in float64, along a new first dimension."""
        numbers = numbers.detach().to(self._device)
        shape = numbers.shape
        for group in self._groups:
            gathered = numbers.new_empty(group.size(), *numbers.shape)
            distributed.all_gather(list(gathered.unbind()), numbers.contiguous(), group=group)
            numbers = gathered
        return numbers.to(torch.float64).reshape(-1, *shape)


class Shards(Replicas):
    """Processes with a shard of every parameter each (FSDP2), or several with the same (HSDP).

    Args:
        groups: process groups, one for each dimension of the mesh.
        device: where their collectives take place.
        copies: so many ranks have the same shard.
    """

    def __init__(
        self, groups: Sequence[distributed.ProcessGroup], device: torch.device, copies: int
    ):
        super().__init__(groups, device)
        self._copies = copies

    def slopes(self, *slopes: Tensor) -> Sequence[Tensor]:
        """The sums over the shards, in one collective."""
        return self._combined(slopes, 1 / self._copies)

    def norm(self, norm: Tensor) -> Tensor:
        """The root of the sum of squares over the shards."""
        squares = self._gathered(norm).square().sum() / self._copies
        return squares.sqrt().to(norm.dtype)

    def largest(self, number: Tensor) -> Tensor:
        """The largest number over the shards."""
        return self._gathered(number).amax().to(number.dtype)


def is_initialized() -> bool:
    """Whether torch.distributed is there and in use."""
    return distributed.is_available() and distributed.is_initialized()


def replicas_of(wrappers: Sequence[DistributedDataParallel]) -> Alone:
    """Those that have a copy of these modules each, or this process alone.

    Raises:
        RuntimeError: the modules are wrapped in a way that no step can be right for.
    """
    for ddp in wrappers:
        if ddp.mixed_precision is not None:
            raise RuntimeError(LOW_PRECISION_DDP)
        if ddp._join_config.enable:
            raise RuntimeError(JOINED)
        if ddp.process_group != wrappers[0].process_group:
            raise RuntimeError(TWO_GROUPS)
    if not wrappers or wrappers[0].process_group.size() == 1:
        return ALONE
    device = next(wrappers[0].parameters()).device
    return Replicas([wrappers[0].process_group], device)


def shards_of(params: Sequence[Any], *, by_fsdp: bool) -> Shards:
    """Those that have a shard of these parameters each.

    Args:
        params: the parameters that are DTensors.
        by_fsdp: whether `fully_shard` has made them.

    Raises:
        RuntimeError: they are on a mesh, or placed, as `fully_shard` does not.
    """
    mesh = params[0].device_mesh
    for param in params:
        replicated = [placement.is_replicate() for placement in param.placements]
        # The last dimension of the mesh shards; one before it has copies.
        if not by_fsdp or param.device_mesh != mesh or replicated not in ([False], [True, False]):
            raise RuntimeError(
                OTHER_MESH.format(mesh=param.device_mesh, placements=tuple(param.placements))
            )
    device = torch.device(mesh.device_type)
    if device.type != "cpu":
        device = torch.device(device.type, torch.get_device_module(device).current_device())
    groups = [mesh.get_group(dimension) for dimension in range(mesh.ndim)]
    return Shards(groups, device, mesh.size(0) if mesh.ndim == 2 else 1)
