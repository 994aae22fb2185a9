"""The manual as bytes."""

from __future__ import annotations

import pickle

import pytest
import torch

from experiments.data.text.byte_text import byte_text, manual_text
from experiments.errors import UserError


def test_validation_is_the_last_tenth_of_the_manual() -> None:
    text = manual_text()
    train, validation = byte_text(block=64)
    cut = len(text) - len(text) // 10
    assert len(train) == (cut - 1) // 64
    assert len(validation) == (len(text) - cut - 1) // 64
    assert bytes(train.batch(torch.tensor([0]), None)["input_ids"][0].tolist()) == text[:64]
    first = validation.batch(torch.tensor([0]), None)["input_ids"][0].tolist()
    assert bytes(first) == text[cut : cut + 64]


def test_a_worker_is_sent_no_text() -> None:
    train, _ = byte_text(block=64)
    sent = pickle.dumps(train)
    assert len(sent) < 1000
    indices = torch.tensor([5, 2])
    received = pickle.loads(sent).batch(indices, None)
    assert torch.equal(received["labels"], train.batch(indices, None)["labels"])


def test_the_manual_begins_with_its_first_topic() -> None:
    text = manual_text()
    assert text.startswith(b'The "assert" statement')
    assert len(text) > 300_000


def test_a_block_longer_than_the_text_is_an_error() -> None:
    with pytest.raises(UserError, match=r"task\.block is 1000000"):
        byte_text(block=1_000_000)
