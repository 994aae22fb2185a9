"""Tokens on disk: found by their content, whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.data.glue.tsv import read_tsv
from experiments.data.text.classified import TextSource, tokens_of
from tests.experiments.data.locations import bert_folder, data_root

PAIRS = [("A cat .", "It sleeps on the mat ."), ("Yes", "No"), ("One two", "three four five")]


def load() -> Any:
    from experiments.models.pretrained import load_tokenizer

    return load_tokenizer(str(bert_folder()), "model.tokenizer")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load()


class Mute:
    """A tokenizer that must not be called; everything else is the real one's."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.__class__.__name__ = type(tokenizer).__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __call__(self, *_texts: Any, **_settings: Any) -> Any:
        raise AssertionError("the texts were tokenised again")


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_texts_are_tokenised_once(tokenizer: Any, tmp_path: Path) -> None:
    fresh = tokens_of(PAIRS, tokenizer, 64)
    first = tokens_of(PAIRS, tokenizer, 64, tmp_path)
    # A call leaves its truncation in the tokenizer; that is no other tokenizer.
    tokenizer("other text", truncation=True, max_length=5)
    again = tokens_of(PAIRS, Mute(tokenizer), 64, tmp_path)  # type: ignore[arg-type]
    loaded = tokens_of(PAIRS, Mute(load()), 64, tmp_path)  # type: ignore[arg-type]
    assert same(fresh, first)
    assert same(fresh, again)
    assert same(fresh, loaded)
    assert all(array.dtype == np.int32 for array in again.values())
    (path,) = tmp_path.iterdir()  # no temporary file is left
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_texts_are_tokenised_in_parts_that_join(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokens_of(PAIRS, tokenizer, 64)
    monkeypatch.setattr("experiments.data.text.classified.TEXTS_AT_ONCE", 2)
    assert same(tokens_of(PAIRS, tokenizer, 64), whole)


def test_a_source_from_the_cache_gives_the_same_batches(tokenizer: Any, tmp_path: Path) -> None:
    examples = read_tsv(data_root() / "glue", "mrpc", "validation")
    sources = [TextSource(*examples, tokenizer, 64, cache) for cache in (None, tmp_path, tmp_path)]
    chosen = torch.randperm(len(examples.labels))[:40]
    expected, *others = (source.batch(chosen, None) for source in sources)
    for batch in others:
        assert batch.keys() == expected.keys()
        for key, tensor in expected.items():
            assert torch.equal(batch[key], tensor)
            assert batch[key].dtype == torch.int64
    assert torch.equal(sources[0].lengths[chosen], expected["attention_mask"].sum(1))


@pytest.mark.parametrize(
    ("texts", "max_tokens"),
    [
        (PAIRS, 32),
        (PAIRS[:2], 64),
        (PAIRS[::-1], 64),
        ([("A cat", ". It sleeps on the mat ."), *PAIRS[1:]], 64),
        ([(f"{a} {b}",) for a, b in PAIRS], 64),
    ],
)
def test_other_texts_and_lengths_have_files_of_their_own(
    texts: Any, max_tokens: int, tokenizer: Any, tmp_path: Path
) -> None:
    tokens_of(PAIRS, tokenizer, 64, tmp_path)
    found = tokens_of(texts, tokenizer, max_tokens, tmp_path)
    assert same(found, tokens_of(texts, tokenizer, max_tokens))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_changed_tokenizer_has_a_file_of_its_own(tokenizer: Any, tmp_path: Path) -> None:
    tokens_of(PAIRS, tokenizer, 64, tmp_path)
    other = load()
    other.add_tokens(["sleeps on"])
    found = tokens_of(PAIRS, other, 64, tmp_path)
    assert same(found, tokens_of(PAIRS, other, 64))
    left = load()
    left.truncation_side = "left"
    tokens_of(PAIRS, left, 64, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("kept", [0, 10, 300, -1])
def test_a_broken_file_is_computed_anew(kept: int, tokenizer: Any, tmp_path: Path) -> None:
    expected = tokens_of(PAIRS, tokenizer, 64, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    assert same(tokens_of(PAIRS, tokenizer, 64, tmp_path), expected)
    assert same(tokens_of(PAIRS, Mute(tokenizer), 64, tmp_path), expected)  # type: ignore[arg-type]


def test_a_damaged_byte_is_noticed(tokenizer: Any, tmp_path: Path) -> None:
    expected = tokens_of(PAIRS, tokenizer, 64, tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    ids = data.index(np.array(expected["input_ids"]).tobytes())
    data[ids + 4] ^= 1
    path.write_bytes(data)
    assert same(tokens_of(PAIRS, tokenizer, 64, tmp_path), expected)


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(
    tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where the folder should be: permissions do not stop the superuser."""
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        found = tokens_of(PAIRS, tokenizer, 64, tmp_path / "file" / "cache")
    assert same(found, tokens_of(PAIRS, tokenizer, 64))
    (record,) = caplog.records
    message = record.getMessage()
    assert "\n" not in message
    assert str(tmp_path / "file" / "cache") in message
    assert "cache_dir" in message


def test_a_failed_write_leaves_nothing(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    tokens_of(PAIRS, tokenizer, 64, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_cannot_be_identified_is_not_cached(
    tokenizer: Any, tmp_path: Path
) -> None:
    class Plain:
        def __call__(self, *texts: Any, **settings: Any) -> Any:
            return tokenizer(*texts, **settings)

    found = tokens_of(PAIRS, Plain(), 64, tmp_path)  # type: ignore[arg-type]
    assert same(found, tokens_of(PAIRS, tokenizer, 64))
    assert not list(tmp_path.iterdir())
