"""Batches of a source: shuffled for training, in order for evaluation.

A training batch is a function of (seed, epoch, number in the epoch), so a run that resumes at any
batch needs no saved state to see the rest as it would have. torch's global generator is not used.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Generator, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.data.base import Batch, Source
from experiments.errors import UserError


def number_of_batches(examples: int, batch_size: int) -> int:
    """The number of batches of an epoch; the last one may be smaller."""
    return -(-examples // batch_size)


def mixed_seed(*numbers: int) -> int:
    """A seed below 2⁶³ that depends on every number and its place (not on a sum of them)."""
    text = "/".join(str(number) for number in numbers)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def epoch_order(examples: int, *, seed: int, epoch: int) -> Tensor:
    """The order of the examples in an epoch: a permutation of 0 … examples-1."""
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    return torch.randperm(examples, generator=generator)


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
    source: Source, *, seed: int, batch_size: int, first_step: int = 0, workers: int = 0
) -> Generator[Batch]:
    """Shuffled batches epoch after epoch without end, from batch `first_step` of the run on."""
    epoch, first = divmod(first_step, number_of_batches(len(source), batch_size))
    while True:
        batches = Batches(
            source,
            epoch_order(len(source), seed=seed, epoch=epoch),
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
        worker_init_fn=_leave_interrupts_to_the_parent,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _leave_interrupts_to_the_parent(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
