"""Blocks of tokens: what they cover, what is hidden, and that they are functions of their index."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.data.text.blocks import CausalBlocks, MaskedBlocks, Tokens
from experiments.data.text.vocabulary import ByteVocabulary
from experiments.errors import UserError

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
SIZE = 1000


class Marked:
    """A vocabulary of 1000 tokens with marks at 1, 2 and 3; the text has none of them."""

    size = SIZE
    identity = "marked"
    end: int | None = 2
    mask: int | None = 3
    padding: int | None = 0
    before: tuple[int, ...] = (1,)
    after: tuple[int, ...] = (2,)

    def encode(self, texts: object) -> list[np.ndarray]:
        raise NotImplementedError


def tokens_of(array: np.ndarray) -> Tokens:
    return Tokens(functools.partial(np.asarray, array), 0, len(array))


def letters(count: int = 26) -> Tokens:
    return tokens_of(np.frombuffer(LETTERS[:count], np.uint8))


def long_text(count: int = 200_000) -> Tokens:
    return tokens_of(np.random.default_rng(0).integers(4, SIZE, count).astype(np.uint16))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_labels_are_the_next_tokens() -> None:
    batch = CausalBlocks(letters(10), block=3).batch(torch.tensor([1, 0]), None)
    assert [bytes(row) for row in batch["input_ids"].tolist()] == [b"def", b"abc"]
    assert [bytes(row) for row in batch["labels"].tolist()] == [b"efg", b"bcd"]
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


@pytest.mark.parametrize("block", [1, 3, 4, 5, 24, 25])
def test_blocks_cover_the_text_without_overlap(block: int) -> None:
    source = CausalBlocks(letters(), block)
    batch = source.batch(torch.arange(len(source)), None)
    inputs = bytes(batch["input_ids"].flatten().tolist())
    labels = bytes(batch["labels"].flatten().tolist())
    assert inputs == LETTERS[: len(inputs)]
    assert labels == LETTERS[1 : len(inputs) + 1]
    assert 26 - len(inputs) <= block


def test_the_parts_of_a_text_neither_overlap_nor_lose_a_token() -> None:
    train, validation = letters().split(0.2)
    array = letters().open()
    assert (len(train), len(validation)) == (21, 5)
    both = [bytes(array[part.start : part.stop]) for part in (train, validation)]
    assert both == [LETTERS[:21], LETTERS[21:]]
    rows = CausalBlocks(validation, 4).batch(torch.tensor([0]), None)
    assert bytes(rows["labels"][0].tolist()) == b"wxyz"


def test_large_tokens_are_not_signed() -> None:
    source = CausalBlocks(tokens_of(np.array([65535, 40000, 1], np.uint16)), 2)
    assert source.batch(torch.tensor([0]), None)["input_ids"].tolist() == [[65535, 40000]]


def test_a_block_longer_than_the_text_is_an_error() -> None:
    assert len(CausalBlocks(letters(5), 4)) == 1
    with pytest.raises(UserError, match=r"task\.block is 5, too large: .* only 5 tokens"):
        CausalBlocks(letters(5), 5)
    with pytest.raises(UserError, match=r"task\.block is 6, too large"):
        MaskedBlocks(letters(5), 6, ByteVocabulary())
    with pytest.raises(UserError, match=r"task\.block is 2, which leaves no place"):
        MaskedBlocks(letters(5), 2, Marked())


def test_a_file_of_tokens_is_sent_to_a_worker_as_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(100_000, dtype=np.uint32))
    path = tmp_path / "tokens.npy"
    source = CausalBlocks(
        Tokens(functools.partial(np.load, path, mmap_mode="r"), 0, 100_000), block=10
    )
    sent = pickle.dumps(source)
    assert len(sent) < 1000
    batch = pickle.loads(sent).batch(torch.tensor([9_998]), None)
    assert batch["labels"].tolist() == [list(range(99_981, 99_991))]


# ------------------------------------------------------------------------------------- masked


def test_hidden_tokens_can_be_put_back() -> None:
    text = long_text()
    source = MaskedBlocks(text, 128, Marked())
    batch = source.batch(torch.arange(len(source)), generator())
    restored = batch["input_ids"].scatter(1, batch["positions"], batch["labels"])
    assert set(restored[:, 0].tolist()) == {1}
    assert set(restored[:, -1].tolist()) == {2}
    inner = restored[:, 1:-1].flatten().numpy()
    assert np.array_equal(inner, text.open()[: len(inner)])
    assert len(text) - len(inner) < 126


def test_what_is_hidden_is_drawn_as_bert_draws_it() -> None:
    """15 % of the places, all alike; of them 80 % masked, 10 % random, 10 % as they are."""
    source = MaskedBlocks(long_text(), 102, Marked())
    batch = source.batch(torch.arange(1500), generator(3))
    positions, labels = batch["positions"], batch["labels"]
    assert positions.shape == labels.shape == (1500, 15)
    assert (positions.diff(dim=1) > 0).all()
    counts = positions.flatten().bincount(minlength=102)
    assert counts[0] == counts[101] == 0
    # Binomial with 1500 draws at 0.15: mean 225, standard deviation 13.8.
    assert counts[1:101].min() > 225 - 70
    assert counts[1:101].max() < 225 + 70
    shown = batch["input_ids"].gather(1, positions)
    masked, same = shown == 3, shown == labels
    # 22,500 draws: the standard deviation of the shares is 0.0027 and 0.002.
    assert masked.double().mean().item() == pytest.approx(0.8, abs=0.012)
    assert same.double().mean().item() == pytest.approx(0.1, abs=0.009)
    random = shown[~masked & ~same]
    assert random.double().mean().item() == pytest.approx(SIZE / 2, abs=25)
    assert random.max() > SIZE - 10


def test_a_generator_decides_what_is_hidden() -> None:
    source = MaskedBlocks(long_text(), 64, Marked())
    indices = torch.tensor([4, 2, 9])
    first, again, other = (source.batch(indices, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["positions"], other["positions"])


def test_without_a_generator_the_index_decides_whatever_the_batch() -> None:
    source = MaskedBlocks(long_text(), 64, Marked())
    together = source.batch(torch.tensor([4, 2, 9]), None)
    for row, index in enumerate((4, 2, 9)):
        alone = source.batch(torch.tensor([index]), None)
        assert all(torch.equal(together[key][row], alone[key][0]) for key in alone)
    assert not torch.equal(together["positions"][0], together["positions"][1])


def test_at_least_one_token_is_hidden() -> None:
    batch = MaskedBlocks(letters(), 2, ByteVocabulary()).batch(torch.arange(13), generator())
    assert batch["positions"].shape == (13, 1)


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    vocabulary = Marked()
    vocabulary.mask = None
    with pytest.raises(UserError, match=r"task\.tokenizer has no mask token"):
        MaskedBlocks(long_text(), 64, vocabulary)
