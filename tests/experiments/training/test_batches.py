"""The order of the data is a function of seed, epoch and batch."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.data.images.sources import InMemory, Normalisation
from experiments.errors import UserError
from experiments.training.batches import (
    epoch_order,
    evaluation_batches,
    mixed_seed,
    number_of_batches,
    training_batches,
)
from tests.experiments.training.tiny import Digits

SIZE = 64


@pytest.fixture(scope="module")
def source():
    return Digits((0,))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def epoch(source, number, *, seed=0):
    count = number_of_batches(len(source), SIZE)
    batches = training_batches(source, seed=seed, batch_size=SIZE, first_step=number * count)
    return list(islice(batches, count))


def test_an_epoch_has_every_example_once_and_keeps_the_partial_batch(source):
    labels = torch.cat([batch["labels"] for batch in epoch(source, 0)])
    assert [len(b["labels"]) for b in epoch(source, 0)] == [64, 64, 64, 64, 64, 40]
    assert torch.equal(labels.sort().values, source.labels.sort().values)
    assert torch.equal(epoch_order(360, seed=3, epoch=1).sort().values, torch.arange(360))


def test_seeds_and_epochs_have_orders_of_their_own():
    orders = [epoch_order(360, seed=s, epoch=e).tolist() for s in range(3) for e in range(3)]
    assert len({tuple(order) for order in orders}) == 9


@given(st.lists(st.integers(0, 2**32), min_size=2, max_size=3, unique=True))
def test_a_seed_depends_on_the_place_of_every_number(numbers):
    seed = mixed_seed(*numbers)
    assert 0 <= seed < 2**63
    assert seed == mixed_seed(*numbers)
    assert seed != mixed_seed(*reversed(numbers)) or numbers == numbers[::-1]
    assert seed != mixed_seed(*numbers, 0)


@pytest.mark.parametrize("first_step", [1, 5, 6, 14])
def test_batches_from_the_middle_are_those_of_a_run_from_the_start(source, first_step):
    whole = list(islice(training_batches(source, seed=7, batch_size=SIZE), 20))
    rest = training_batches(source, seed=7, batch_size=SIZE, first_step=first_step)
    for expected in whole[first_step:]:
        assert equal(next(rest), expected)


LENGTHS = torch.randint(1, 200, (1010,), generator=torch.Generator().manual_seed(0))


def grouped(window, *, seed=0, epoch=0):
    return epoch_order(
        len(LENGTHS), seed=seed, epoch=epoch, lengths=LENGTHS, batch_size=32, window=window
    )


def padded(order):
    return sum(int(LENGTHS[batch].max()) * len(batch) for batch in order.split(32))


def test_grouping_by_length_keeps_the_windows_and_pads_less():
    plain = epoch_order(len(LENGTHS), seed=0, epoch=0)
    order = grouped(8)
    assert torch.equal(order.sort().values, torch.arange(len(LENGTHS)))
    for window, expected in zip(order.split(8 * 32), plain.split(8 * 32), strict=True):
        assert torch.equal(window.sort().values, expected.sort().values)
    assert torch.equal(order[-18:], plain[-18:]), "the smaller batch is not one of long texts"
    tokens = int(LENGTHS.sum())
    assert padded(order) - tokens < 0.3 * (padded(plain) - tokens)
    assert padded(grouped(1000)) < padded(order) < padded(grouped(2)) < padded(plain)


def test_batches_of_a_window_are_shuffled_and_its_examples_change_with_seed_and_epoch():
    longest = [int(LENGTHS[batch].max()) for batch in grouped(1000)[: 31 * 32].split(32)]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)
    orders = [grouped(8, seed=s, epoch=e).tolist() for s in range(2) for e in range(2)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == grouped(8).tolist()


class DigitsWithLengths(Digits):
    def __init__(self):
        super().__init__((0,))
        self.lengths = (self.x > 0).sum(1)


@pytest.mark.parametrize(("first_step", "workers"), [(0, 2), (4, 0), (9, 1)])
def test_grouped_batches_are_the_same_from_the_middle_and_from_workers(first_step, workers):
    source = DigitsWithLengths()
    settings = {"seed": 3, "batch_size": SIZE, "group_by_length": 2}
    whole = list(islice(training_batches(source, **settings), 14))[first_step:]
    rest = training_batches(source, **settings, first_step=first_step, workers=workers)
    for expected in whole:
        assert equal(next(rest), expected)
    rest.close()


def test_grouping_what_has_no_lengths_is_refused(source):
    with pytest.raises(UserError, match=r"trainer\.group_by_length is 4"):
        next(training_batches(source, seed=0, batch_size=SIZE, group_by_length=4))


def test_augmentation_changes_from_epoch_to_epoch(source):
    noise = []
    for number in (0, 1):
        order = epoch_order(len(source), seed=0, epoch=number)[:SIZE]
        noise.append(epoch(source, number)[0]["x"] - source.x[order])
    assert noise[0].abs().max() > 0
    assert not torch.allclose(noise[0], noise[1], atol=1e-3)


def pictures():
    pixels = torch.randint(0, 256, (200, 3, 16, 16), dtype=torch.uint8)
    return InMemory(pixels, torch.arange(200), Normalisation.of(pixels), augment=True)


@pytest.mark.parametrize("make_source", [lambda: Digits((0,)), pictures])
def test_workers_give_the_same_batches(make_source):
    source = make_source()
    alone = islice(training_batches(source, seed=1, batch_size=SIZE, first_step=2), 8)
    helped = islice(training_batches(source, seed=1, batch_size=SIZE, first_step=2, workers=2), 8)
    assert all(equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_a_batch_is_made_by_one_thread_and_the_others_come_back():
    threads = []

    class Watched(Digits):
        def batch(self, indices, generator):
            threads.append(torch.get_num_threads())
            if len(threads) == 2:
                raise ValueError
            return super().batch(indices, generator)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        batches = training_batches(Watched((0,)), seed=0, batch_size=SIZE)
        next(batches)
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError):  # noqa: PT011
            next(batches)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_is_left_alone(source, workers):
    before = torch.get_rng_state()
    list(islice(training_batches(source, seed=1, batch_size=SIZE, workers=workers), 7))
    list(evaluation_batches(source, batch_size=SIZE, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_is_in_order_and_not_augmented(source):
    batches = list(evaluation_batches(source, batch_size=100))
    assert torch.equal(torch.cat([batch["x"] for batch in batches]), source.x)
    assert torch.equal(torch.cat([batch["labels"] for batch in batches]), source.labels)


class Broken(Digits):
    def batch(self, indices, generator):
        raise UserError("0.png: this picture does not decode")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_user_can_mend_is_said_in_one_line_by_a_worker_too(workers):
    broken = Broken((0,))
    for batches in (
        training_batches(broken, seed=0, batch_size=SIZE, workers=workers),
        evaluation_batches(broken, batch_size=SIZE, workers=workers),
    ):
        with pytest.raises(UserError) as raised:
            next(batches)
        assert str(raised.value) == "0.png: this picture does not decode"


def test_with_a_fixed_order_only_augmentation_changes_between_epochs(source):
    count = number_of_batches(len(source), SIZE)
    batches = training_batches(source, seed=0, batch_size=SIZE, fixed_order=True)
    first, second = list(islice(batches, count)), list(islice(batches, count))
    for one, other, today in zip(first, second, epoch(source, 0), strict=True):
        assert torch.equal(one["labels"], other["labels"])
        assert not torch.equal(one["x"], other["x"])
        assert equal(one, today)
    later = training_batches(
        source, seed=0, batch_size=SIZE, fixed_order=True, first_step=count + 2
    )
    assert equal(next(later), second[2])
