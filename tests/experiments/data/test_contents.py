"""A digest of data changes with the data, and with nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.data import contents
from experiments.data.base import Subset, contents_of
from experiments.data.contents import digest
from experiments.data.images.sources import InMemory, Normalisation
from experiments.data.tables import split_table
from experiments.data.text.blocks import CausalBlocks, Tokens


def images(features, targets):
    return InMemory(features, targets, Normalisation.known([0.5], [0.5]), augment=False)


def table(features, targets):
    return split_table(features.double().numpy(), targets.numpy()).train


def blocks(features, targets):
    tokens = torch.cat([features.flatten(), targets]).numpy().astype(np.uint8)
    return CausalBlocks(Tokens(lambda: tokens, 0, len(tokens)), 4)


def part(features, targets):
    return Subset(images(features, targets), torch.arange(10))


@pytest.mark.parametrize("make", [images, table, blocks, part])
@pytest.mark.parametrize("place", ["features", "targets"])
def test_one_value_is_noticed(make, place):
    values = {
        "features": torch.arange(80, dtype=torch.uint8).view(20, 1, 2, 2),
        "targets": torch.arange(20) % 2,
    }
    if make is table:
        values["features"] = values["features"].view(20, 4)
    before = digest(contents_of(make(**values)))
    assert digest(contents_of(make(**values))) == before
    changed = {**values, place: values[place].clone()}
    changed[place].view(-1)[3] = 1 - changed[place].view(-1)[3] % 2
    assert digest(contents_of(make(**changed))) != before


def test_other_examples_of_one_source_are_noticed():
    source = images(torch.zeros(20, 1, 2, 2, dtype=torch.uint8), torch.zeros(20).long())
    parts = [Subset(source, torch.arange(10)), Subset(source, torch.arange(1, 11))]
    assert len({digest(contents_of(one)) for one in parts}) == 2


def test_parts_do_not_run_together():
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])


def test_of_a_large_array_the_first_and_the_last_values_are_seen(monkeypatch):
    monkeypatch.setattr(contents, "READ_WHOLE", 1000)
    array = np.zeros(100_000, np.uint8)
    before = digest(contents.contents_of_array(array))
    for place in (0, -1):
        other = array.copy()
        other[place] = 1
        assert digest(contents.contents_of_array(other)) != before


def test_a_source_that_does_not_tell_its_contents_is_sampled():
    class Plain:
        def __init__(self, values):
            self.values = values

        def __len__(self):
            return len(self.values)

        def batch(self, indices, generator):
            return {"labels": self.values[indices]}

    assert digest(contents_of(Plain(torch.ones(3)))) != digest(contents_of(Plain(torch.zeros(3))))
