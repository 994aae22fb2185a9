"""Batches of a source: shuffled for training, in order for evaluation.

A training batch is a function of (seed, epoch, number in the epoch), so a run that resumes at any
batch needs no saved state to see the rest as it would have. torch's global generator is not used.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.data.base import Batch, Source
from experiments.errors import UserError

# Seconds that a worker goes on after SIGTERM; a step takes less.
_PATIENCE = 10


def number_of_batches(examples: int, batch_size: int) -> int:
    """The number of batches of an epoch; the last one may be smaller."""
    return -(-examples // batch_size)


def require_full_batch(examples: int, batch_size: int) -> None:
    """Raises `UserError` if all training examples together are fewer than a batch."""
    if examples < batch_size:
        raise UserError(
            f"trainer.batch_size is {batch_size}, but there are only {examples} training examples; "
            f"at most {examples} fit"
        )


def mixed_seed(*numbers: int) -> int:
    """A seed below 2⁶³ that depends on every number and its place (not on a sum of them)."""
    text = "/".join(str(number) for number in numbers)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True)
class Grouping:
    """Batches of examples of like length, which need little padding.

    The shuffled order is cut into windows of `window` batches; each window is sorted by length,
    cut into batches, and these are shuffled. The epoch's last, smaller batch stays as it is.
    """

    lengths: Tensor
    batch_size: int
    window: int

    @classmethod
    def of(cls, source: Source, *, batch_size: int, window: int | None) -> Grouping | None:
        """The grouping of a source; None for none. `UserError` if its examples have no lengths."""
        if window is None:
            return None
        lengths = getattr(source, "lengths", None)
        if lengths is None:
            raise UserError(
                f"trainer.group_by_length is {window}, but the examples of this task all have "
                "one length; set it to null"
            )
        return cls(lengths, batch_size, window)

    def __call__(self, order: Tensor, generator: torch.Generator) -> Tensor:
        """The examples of `order` in another order."""
        full = len(order) // self.batch_size * self.batch_size
        grouped = []
        for window in torch.split(order[:full], self.window * self.batch_size):
            by_length = window[self.lengths[window].argsort(stable=True)]
            batches = by_length.view(-1, self.batch_size)
            grouped.append(batches[torch.randperm(len(batches), generator=generator)].flatten())
        return torch.cat([*grouped, order[full:]])


def epoch_order(
    examples: int, *, seed: int, epoch: int, grouping: Grouping | None = None
) -> Tensor:
    """The order of the examples in an epoch: a permutation of 0 … examples-1."""
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    order = torch.randperm(examples, generator=generator)
    return order if grouping is None else grouping(order, generator)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes in one thread, as it does in a worker process.

    What a batch needs is so little that threads that wait for each other cost more than they
    save: up to a hundred times the batch's own time where other processes use the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Batches(Dataset[Batch | UserError]):
    """The batches of a source in a given order, from batch `first` on, as a dataset.

    A `UserError` is given instead of raised: a worker would bury it in a traceback.
    """

    def __init__(
        self,
        source: Source,
        order: Tensor,
        *,
        batch_size: int,
        first: int = 0,
        generator_of: Callable[[int], torch.Generator] | None = None,
    ) -> None:
        self.source = source
        self.order = order
        self.batch_size = batch_size
        self.first = first
        self.generator_of = generator_of

    def __len__(self) -> int:
        return number_of_batches(len(self.order), self.batch_size) - self.first

    def __getitem__(self, item: int) -> Batch | UserError:
        number = self.first + item
        indices = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        generator = None if self.generator_of is None else self.generator_of(number)
        try:
            with one_thread():
                return self.source.batch(indices, generator)
        except UserError as error:
            return error


class BatchGenerators:
    """The generator of batch i of an epoch; a class, so that a worker process can be given it."""

    def __init__(self, seed: int, epoch: int) -> None:
        self.seed = seed
        self.epoch = epoch

    def __call__(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch, number))


def training_batches(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    first_step: int = 0,
    workers: int = 0,
    group_by_length: int | None = None,
    fixed_order: bool = False,
) -> Generator[Batch]:
    """Shuffled batches epoch after epoch without end, from batch `first_step` of the run on.

    With `fixed_order` every epoch has the order of the first; augmentation stays random.
    """
    grouping = Grouping.of(source, batch_size=batch_size, window=group_by_length)
    epoch, first = divmod(first_step, number_of_batches(len(source), batch_size))
    while True:
        batches = Batches(
            source,
            epoch_order(
                len(source), seed=seed, epoch=0 if fixed_order else epoch, grouping=grouping
            ),
            batch_size=batch_size,
            first=first,
            generator_of=BatchGenerators(seed, epoch),
        )
        yield from _loaded(batches, workers)
        epoch, first = epoch + 1, 0


def evaluation_batches(source: Source, *, batch_size: int, workers: int = 0) -> Iterator[Batch]:
    """Every example once, in order and without augmentation."""
    return _loaded(Batches(source, torch.arange(len(source)), batch_size=batch_size), workers)


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
