"""Tokenised texts: padding, truncation, and what a batch depends on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from experiments.data.text.classified import TextSource, marked_for_causal, read_as_bytes
from tests.experiments.data.locations import bert_folder, data_root

PAIRS = [("A cat .", "It sleeps on the mat ."), ("Yes", "No"), ("One two", "three four five")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from experiments.models.pretrained import load_tokenizer

    return load_tokenizer(str(bert_folder()), "model.tokenizer")


def test_a_batch_is_what_the_tokenizer_pads(tokenizer: Any) -> None:
    source = TextSource(PAIRS, [1, 0, 1], tokenizer, max_tokens=64)
    for chosen in ([0, 1, 2], [2, 1], [1]):
        batch = source.batch(torch.tensor(chosen), None)
        expected = tokenizer(
            [PAIRS[i][0] for i in chosen],
            [PAIRS[i][1] for i in chosen],
            padding=True,
            return_tensors="pt",
        )
        assert set(batch) == {*expected, "labels"}
        for key in expected:
            assert torch.equal(batch[key], expected[key]), key
        assert batch["labels"].tolist() == [[1, 0, 1][i] for i in chosen]


def test_single_texts_are_not_pairs(tokenizer: Any) -> None:
    source = TextSource([("A cat .",), ("Yes",)], [1, 0], tokenizer, max_tokens=64)
    batch = source.batch(torch.tensor([0, 1]), None)
    assert int(batch["token_type_ids"].sum()) == 0
    assert tokenizer.decode(batch["input_ids"][1]) == "[CLS] yes [SEP] [PAD] [PAD]"


def test_long_texts_are_cut(tokenizer: Any) -> None:
    source = TextSource([("cat " * 100, "dog " * 100)], [1], tokenizer, max_tokens=12)
    ids = source.batch(torch.tensor([0]), None)["input_ids"]
    assert ids.shape == (1, 12)
    assert int((ids == tokenizer.sep_token_id).sum()) == 2


def test_the_generator_is_not_used(tokenizer: Any) -> None:
    source = TextSource(PAIRS, [1, 0, 1], tokenizer, max_tokens=64)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    source.batch(torch.tensor([0]), generator)
    assert torch.equal(before, generator.get_state())


def test_scores_stay_numbers_and_classes_whole(tokenizer: Any) -> None:
    for labels, kind in (([1, 0, 1], torch.int64), ([1.0, 0.5, 3.8], torch.float32)):
        batch = TextSource(PAIRS, labels, tokenizer, max_tokens=64).batch(torch.arange(3), None)
        assert batch["labels"].dtype is kind


def test_gpt2s_pairs_are_kept_apart_and_empty_texts_have_a_token() -> None:
    from experiments.models.pretrained import load_tokenizer

    gpt2: Any = load_tokenizer(str(data_root() / "gpt2_tokenizer"), "model.tokenizer")
    gpt2.pad_token = end = gpt2.eos_token
    pairs = marked_for_causal([("A cat", "sleeps"), ("", "x")], end)
    batch = TextSource(pairs, [1, 0], gpt2, max_tokens=8).batch(torch.arange(2), None)
    assert gpt2.decode(batch["input_ids"][0]) == f"A cat{end}sleeps"
    assert batch["attention_mask"].sum(1).tolist() == [5, 3]
    source = TextSource(marked_for_causal([("",), ("cat",)], end), [1, 0], gpt2, max_tokens=8)
    assert source.batch(torch.arange(2), None)["attention_mask"].sum(1).tolist() == [1, 1]


def test_bytes_are_read_as_python_shows_them() -> None:
    assert read_as_bytes([("it", "it's"), ("caf\u00e9", "")]) == [
        ("b'it'", 'b"it\'s"'),
        ("b'caf\\xc3\\xa9'", "b''"),
    ]
