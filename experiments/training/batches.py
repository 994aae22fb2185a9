"""Batches of a source: shuffled for training, in order for evaluation.

A training batch is a function of (seed, epoch, number in the epoch), so a run that resumes at any
batch needs no saved state to see the rest as it would have. torch's global generator is not used.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.data.base import Batch, Source
from experiments.errors import UserError

# Seconds that a worker goes on after SIGTERM; a step takes less.
_PATIENCE = 10


@dataclass(frozen=True)
class Part:
    """The part of every training batch that one of several processes takes.

    The parts are contiguous, in the order of the processes, and of nearly equal size.
    """

    rank: int = 0
    count: int = 1

    def of(self, indices: Tensor) -> Tensor:
        """The indices that the process takes; the first one where there are too few."""
        own = indices.tensor_split(self.count)[self.rank]
        return own if len(own) > 0 else indices[:1]

    def is_empty(self, examples: int) -> bool:
        """Whether a batch of so many examples is too small for the process to have any."""
        return examples <= self.rank


WHOLE = Part()


def number_of_batches(examples: int, batch_size: int) -> int:
    """Batches of an epoch; the last one may be smaller."""
    return -(-examples // batch_size)


def mixed_seed(*numbers: int) -> int:
    """A seed below 2⁶³ that depends on every number and its place (not on a sum of them)."""
    text = "/".join(str(number) for number in numbers)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def lengths_of(source: Source, window: int | None) -> Tensor | None:
    """The lengths to group a source's examples by; None if `window` is None."""
    if window is None:
        return None
    lengths: Tensor | None = getattr(source, "lengths", None)
    if lengths is None:
        raise UserError(
            f"trainer.group_by_length is {window}, but the examples of this task all have "
            "one length; set it to null"
        )
    return lengths


def epoch_order(
    examples: int,
    *,
    seed: int,
    epoch: int,
    lengths: Tensor | None = None,
    batch_size: int = 1,
    window: int = 1,
) -> Tensor:
    """The order of the examples in an epoch: a permutation of 0 … examples-1.

    With `lengths`, batches have examples of like length and need little padding: the shuffled
    order is cut into windows of `window` batches; each window is sorted by length, cut into
    batches, and these are shuffled. The epoch's last, smaller batch stays as it is.
    """
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    order = torch.randperm(examples, generator=generator)
    if lengths is None:
        return order
    full = examples // batch_size * batch_size
    grouped = []
    for part in torch.split(order[:full], window * batch_size):
        batches = part[lengths[part].argsort(stable=True)].view(-1, batch_size)
        grouped.append(batches[torch.randperm(len(batches), generator=generator)].flatten())
    return torch.cat([*grouped, order[full:]])


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes in one thread, as it does in a worker process.

    A batch needs so little that threads waiting for each other cost more than they save: up to a
    hundred times the batch's own time where other processes use the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(eq=False)
class Batches(Dataset[Batch | UserError]):
    """The batches of a source in a given order, from batch `first` on, as a dataset.

    `augmentation` is the (seed, epoch) to augment with; None: no augmentation. The batches are
    `first`, `first` + `every`, …, and of each of them the `part`.
    A `UserError` is returned, not raised: a worker would bury it in a traceback.
    """

    source: Source
    order: Tensor
    batch_size: int
    first: int = 0
    augmentation: tuple[int, int] | None = None
    every: int = 1
    part: Part = WHOLE

    def __len__(self) -> int:
        left = number_of_batches(len(self.order), self.batch_size) - self.first
        return max(0, number_of_batches(left, self.every))

    def __getitem__(self, item: int) -> Batch | UserError:
        number = self.first + item * self.every
        indices = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        generator = None
        if self.augmentation is not None:
            # Each process draws numbers of its own; the first one's begin as a single one's do.
            place = (number, self.part.rank) if self.part.rank > 0 else (number,)
            generator = torch.Generator().manual_seed(mixed_seed(*self.augmentation, *place))
        try:
            with one_thread():
                return self.source.batch(self.part.of(indices), generator)
        except UserError as error:
            return error


def training_batches(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    first_step: int = 0,
    workers: int = 0,
    group_by_length: int | None = None,
    fixed_order: bool = False,
    part: Part = WHOLE,
) -> Generator[Batch]:
    """Shuffled batches epoch after epoch without end, from batch `first_step` of the run on.

    With several processes each gets its `part` of every batch.

    With `fixed_order` every epoch has the order of the first; augmentation stays random.
    """
    lengths = lengths_of(source, group_by_length)
    epoch, first = divmod(first_step, number_of_batches(len(source), batch_size))
    while True:
        order = epoch_order(
            len(source),
            seed=seed,
            epoch=0 if fixed_order else epoch,
            lengths=lengths,
            batch_size=batch_size,
            window=group_by_length or 1,
        )
        batches = Batches(
            source, order, batch_size, first=first, augmentation=(seed, epoch), part=part
        )
        yield from _loaded(batches, workers)
        epoch, first = epoch + 1, 0


def evaluation_batches(
    source: Source, *, batch_size: int, workers: int = 0, part: Part = WHOLE
) -> Iterator[Batch | None]:
    """Every example once, in order and without augmentation.

    Several processes take the batches in turn, whole ones: process r has r, r + count, … All of
    them get as many; those for which there is none in the last round get None.
    """
    order = torch.arange(len(source))
    own = Batches(source, order, batch_size, first=part.rank, every=part.count)
    rounds = number_of_batches(number_of_batches(len(source), batch_size), part.count)
    yield from _loaded(own, workers)
    yield from [None] * (rounds - len(own))


def _loaded(batches: Batches, workers: int) -> Generator[Batch]:
    # A loader draws its workers' seeds from its generator, and without one from the global one.
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=_leave_signals_to_the_parent,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _leave_signals_to_the_parent(_worker: int) -> None:
    """SIGTERM may come to all processes of a job: the parent needs its batch for the last step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_PATIENCE))
