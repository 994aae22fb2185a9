"""One run in several processes, which torchrun has started: what they compute together.

    batch → a part for each process → loss and gradients of the whole batch → the same step in all

Every process has the whole model and takes the same steps; the first one alone writes files and
shows anything. Gradients are averaged by torch's `DistributedDataParallel`, everything else here.
Numbers that decide (signals, weights, results) are exchanged on the CPU, also beside GPUs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from itertools import chain, zip_longest
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from experiments.data.base import Batch
from experiments.errors import FAILED, SaidElsewhereError, UserError
from experiments.stopping import exit_code_of, signal_of
from experiments.tasks.base import Task
from experiments.torchrun import Place, place
from experiments.training.batches import WHOLE, Part, mixed_seed
from experiments.training.machine import pick_device

T = TypeVar("T")

# Preparing data may take one process long while the others wait.
_PATIENCE = timedelta(hours=2)
_MISSING = object()


class PartedError(UserError):
    """The processes have different parameters: the run is worth nothing."""

    exit_code = FAILED


class LostError(UserError):
    """Another process has ended without leaving word, for example for want of memory."""

    exit_code = FAILED

    def __init__(self) -> None:
        super().__init__(
            "another process of this run was lost; torchrun's report says by which signal or code"
        )


class Processes:
    """The processes of a run. This class is the one of a single process, where all is trivial."""

    part: Part = WHOLE
    """The part of every batch that this process takes; its number and how many there are."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and shows the run."""
        return self.part.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of a name in the config, as `pick_device`."""
        return pick_device(name)

    def one_after_the_first(self) -> AbstractContextManager[object]:
        """Within, the first process of each machine is done before the others begin.

        For what fills a cache or a folder of data, which the others then find.
        """
        return nullcontext()

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, where alone it is called."""
        return make()

    def gather(self, value: T) -> list[T]:
        """The values of all processes in their order, in the first one; an empty list elsewhere."""
        return [value]

    def total(self, number: float) -> float:
        """The sum of the numbers of all processes."""
        return number

    def signal(self, own: int | None) -> int | None:
        """A signal that has come to any of the processes, the same one in all; or None."""
        return own

    def draw_apart(self, seed: int) -> None:
        """Let torch's random numbers differ between the processes from here on."""

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's buffers, as BatchNorm's running statistics."""

    def require_equal(self, model: nn.Module) -> None:
        """Raise `PartedError` unless the parameters of all processes are equal to the bit."""

    def shared_loss(self, task: Task) -> SharedLoss | None:
        """The task's loss for batches that are shared; None where there is nothing to share."""
        return None


ALONE = Processes()


class SharedLoss:
    """A task's mean loss over this process's part of a batch, its gradients averaged over all.

    `DistributedDataParallel` is around the loss and not around the model, so that the task keeps
    its model and the names of its parameters.
    """

    def __init__(self, task: Task, count: int) -> None:
        self.count = count
        with warnings.catch_warnings():
            # The argument has another name in later versions of torch.
            warnings.simplefilter("ignore", FutureWarning)
            # `share_buffers` shares them once a step, however often the loss is evaluated.
            self._parallel = DistributedDataParallel(_Loss(task), broadcast_buffers=False)

    def __call__(self, batch: Batch) -> Tensor:
        loss: Tensor = self._parallel(batch)
        return loss

    def gradients_stay_here(self) -> AbstractContextManager[object]:
        """Within, gradients are added up in this process; those outside average them all."""
        return self._parallel.no_sync()

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of the processes' losses, equal in all of them to the bit."""
        total = loss.detach().double()
        dist.all_reduce(total)
        return (total / self.count).to(loss.dtype)


class _Loss(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model
        self._task = task

    def forward(self, batch: Batch) -> Tensor:
        return self._task.loss(batch)


class _Group(Processes):
    """Several processes, joined by `torch.distributed`."""

    def __init__(self, here: Place) -> None:
        self.part = Part(here.rank, here.count)
        self._place = here

    def device(self, name: str) -> torch.device:
        return own_device(name, self._place)

    @contextmanager
    def one_after_the_first(self) -> Iterator[None]:
        if self._place.local_rank > 0:
            self._wait()
        yield
        if self._place.local_rank == 0:
            self._wait()

    def from_first(self, make: Callable[[], T]) -> T:
        told: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(told, src=0)
        value: T = told[0]
        return value

    def gather(self, value: T) -> list[T]:
        values: list[Any] | None = [None] * self.part.count if self.is_first else None
        dist.gather_object(value, values, dst=0)
        return values or []

    def total(self, number: float) -> float:
        return self._reduced(number, dist.ReduceOp.SUM)

    def signal(self, own: int | None) -> int | None:
        return int(self._reduced(own or 0, dist.ReduceOp.MAX)) or None

    def draw_apart(self, seed: int) -> None:
        if not self.is_first:
            torch.manual_seed(mixed_seed(seed, self.part.rank))

    @torch.no_grad()
    def share_buffers(self, model: nn.Module) -> None:
        buffers = [buffer for buffer in model.buffers() if buffer.numel() > 0]
        for kind in sorted({(str(b.device), str(b.dtype)) for b in buffers}):
            alike = [b for b in buffers if (str(b.device), str(b.dtype)) == kind]
            flat = torch.cat([buffer.flatten() for buffer in alike])
            dist.broadcast(flat, src=0)
            values = torch.split(flat, [buffer.numel() for buffer in alike])
            for buffer, value in zip(alike, values, strict=True):
                buffer.copy_(value.view_as(buffer))

    @torch.no_grad()
    def require_equal(self, model: nn.Module) -> None:
        # A sum of bytes has no rounding, whatever the order.
        sums = [p.contiguous().flatten().view(torch.uint8).sum() for p in model.parameters()]
        digest = torch.stack([total.cpu() for total in sums])
        from_first = digest.clone()
        dist.broadcast(from_first, src=0)
        if self.total(float(not torch.equal(digest, from_first))) > 0:
            raise PartedError(
                "the parameters differ between the processes, which took different steps; the run "
                "ends here. Please report this with the run's config.yaml and env.json"
            )

    def shared_loss(self, task: Task) -> SharedLoss:
        return SharedLoss(task, self.part.count)

    def _wait(self) -> None:
        self.total(0.0)

    def _reduced(self, number: float, operation: Any) -> float:
        tensor = torch.tensor(number, dtype=torch.float64)
        dist.all_reduce(tensor, operation)
        return float(tensor)


def own_device(name: str, here: Place) -> torch.device:
    """The device of one of several processes on a machine: a GPU each, or the CPU for all.

    Raises `UserError` if the name is of one GPU, or there are fewer GPUs than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available():
        gpus = torch.cuda.device_count()
        if here.local_count > gpus:
            raise UserError(
                f"device: torchrun has started {here.local_count} processes on this machine, "
                f"which has {gpus} GPUs; start one for each, or give device=cpu"
            )
        device = torch.device("cuda", here.local_rank)
        torch.cuda.set_device(device)
        return device
    device = pick_device(name)
    if device.type != "cpu":
        raise UserError(
            f"device: '{name}' is one device for {here.count} processes; device=cuda gives each of "
            "them a GPU of its own"
        )
    return device


def in_turn(lists: list[list[T]]) -> list[T]:
    """The first of each list, then the second of each, and so on; some may be one shorter."""
    rounds = zip_longest(*lists, fillvalue=_MISSING)
    return [one for one in chain.from_iterable(rounds) if one is not _MISSING]  # type: ignore[misc]


# ------------------------------------------------------------------------- beginning and ending


@contextmanager
def joined() -> Iterator[Processes]:
    """Within, this process works with the others that torchrun has started, if there are any.

    An exception in one of them ends all. It leaves the process that it came up in first, and goes
    on in the others as `SaidElsewhereError`.
    """
    here = place()
    if here.count == 1:
        yield ALONE
        return
    # Of the gradients of convolutions, which are averaged all the same.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    if here.rank > 0:
        warnings.simplefilter("ignore")  # the first process meets the same ones
    with _one_message():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        yield _Group(here)
    # Not after a failure: it would wait for the processes that have gone.
    dist.destroy_process_group()


@contextmanager
def _one_message() -> Iterator[None]:
    """Let one process say why the run has failed: the first whose exception arrives here.

    The others fail because of it: their exchange breaks off, or torchrun ends them.
    """
    try:
        yield
    except BaseException as error:
        own = exit_code(error)
        first = _first_exit_code(own)
        if first is not None:
            raise SaidElsewhereError(first) from error
        # torch's error of a broken connection has no class of its own.
        if isinstance(error, dist.DistError) or "gloo/transport" in str(error):
            raise LostError from error
        raise


def exit_code(error: BaseException) -> int:
    """The code with which the command line ends after this exception."""
    number = signal_of(error)
    if number is not None:
        return exit_code_of(number)
    return error.exit_code if isinstance(error, UserError) else FAILED


def _first_exit_code(own: int) -> int | None:
    """The exit code of the process that failed first; None if that is this one.

    torchrun's own store remembers it, which outlives this run's processes.
    """
    mark = f"{os.environ['RANK']}:{own}"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        wait = timedelta(seconds=10)
        store = dist.TCPStore(address, port, is_master=False, timeout=wait)  # type: ignore[attr-defined]
        there = store.compare_set(f"sls/failed/{attempt}", "", mark).decode()
    except RuntimeError:  # it went with the process that held it
        return FAILED
    return None if there == mark else int(there.partition(":")[2])
