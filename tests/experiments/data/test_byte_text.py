"""Blocks of bytes."""

from __future__ import annotations

import pytest
import torch

from experiments.data.byte_text import ByteBlocks, byte_text, manual_text
from experiments.errors import UserError


def test_labels_are_the_next_bytes() -> None:
    source = ByteBlocks(b"abcdefghij", block=3)
    batch = source.batch(torch.tensor([1, 0]), None)
    assert len(source) == 2
    assert [bytes(row) for row in batch["input_ids"].tolist()] == [b"efg", b"abc"]
    assert [bytes(row) for row in batch["labels"].tolist()] == [b"fgh", b"bcd"]
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_bytes_are_not_signed() -> None:
    batch = ByteBlocks(bytes([200, 255, 128]), block=2).batch(torch.tensor([0]), None)
    assert batch["input_ids"].tolist() == [[200, 255]]
    assert batch["labels"].tolist() == [[255, 128]]


def test_validation_is_the_last_tenth_of_the_manual() -> None:
    text = manual_text()
    train, validation = byte_text(block=64)
    cut = len(text) - len(text) // 10
    assert len(train) == cut // 65
    assert len(validation) == (len(text) - cut) // 65
    assert bytes(train.batch(torch.tensor([0]), None)["input_ids"][0].tolist()) == text[:64]
    first = validation.batch(torch.tensor([0]), None)["input_ids"][0].tolist()
    assert bytes(first) == text[cut : cut + 64]


def test_the_manual_begins_with_its_first_topic() -> None:
    text = manual_text()
    assert text.startswith(b'The "assert" statement')
    assert len(text) > 300_000


def test_a_block_longer_than_the_text_is_an_error() -> None:
    with pytest.raises(UserError, match=r"task\.block is 1000000"):
        byte_text(block=1_000_000)
