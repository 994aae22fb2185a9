"""Texts in pieces and their tokens: the same as of the whole, and malformed ones are named."""

from __future__ import annotations

import functools
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data.text import corpus
from experiments.data.text.corpus import (
    HubText,
    byte_text,
    file_identity,
    file_pieces,
    manual_bytes,
    token_chunks,
)
from experiments.data.text.vocabulary import ByteVocabulary, TokenizerVocabulary, token_dtype
from experiments.errors import UserError
from experiments.models.pretrained import load_tokenizer
from tests.experiments.data.locations import bert_folder, data_root

CONFIG = "wikitext-2-raw-v1"
ROWS = {"train": ["", " = Title = \n", " Été 日本 \n", "last\n"], "validation": ["held out\n"]}


@functools.cache
def gpt2_tokenizer() -> Any:
    return load_tokenizer(str(data_root() / "gpt2_tokenizer"), "task.tokenizer")


@functools.cache
def bert_tokenizer() -> Any:
    return load_tokenizer(str(bert_folder()), "task.tokenizer")


def shakespeare() -> Path:
    return data_root() / "tinyshakespeare" / "input.txt"


def own_output(tokenizer: Any, text: str) -> list[int]:
    return list(
        tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)[
            "input_ids"
        ]
    )


def joined(texts: Any, vocabulary: Any, *, documents: bool = False) -> list[int]:
    return [int(t) for part in token_chunks(texts, vocabulary, documents=documents) for t in part]


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A folder as the hub's `Salesforce/wikitext` is laid out."""
    pytest.importorskip("datasets")
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    folder = tmp_path / "wikitext"
    (folder / CONFIG).mkdir(parents=True)
    for split, rows in ROWS.items():
        table = arrow.table({"text": rows, "other": list(range(len(rows)))})
        parquet.write_table(table, folder / CONFIG / f"{split}-00000-of-00001.parquet")
    return folder


def hub(folder: Path, **changes: Any) -> HubText:
    settings = {"name": str(folder), "config": CONFIG, "revision": None, "column": "text"}
    return HubText(**(settings | changes))


# -------------------------------------------------------------------------------------- files


def test_pieces_of_the_real_text_have_the_tokens_of_the_whole() -> None:
    text = shakespeare().read_bytes().decode()
    pieces = list(file_pieces(shakespeare()))
    assert "".join(pieces) == text
    assert len(pieces) > 10
    tokens = joined(pieces, TokenizerVocabulary(gpt2_tokenizer(), "gpt2"))
    assert tokens == own_output(gpt2_tokenizer(), text)
    assert len(tokens) > 300_000


@settings(deadline=None, max_examples=30)
@given(st.text("ab \n\t'é日.7\u00a0\u2028<|endoftext|>[MASK]", max_size=60), st.integers(1, 9))
def test_pieces_of_any_text_have_the_tokens_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode())
    pieces = list(file_pieces(path, size))
    assert "".join(pieces) == text
    for tokenizer in (gpt2_tokenizer(), bert_tokenizer()):
        vocabulary = TokenizerVocabulary(tokenizer, "name")
        assert joined(pieces, vocabulary) == own_output(tokenizer, text)
    assert bytes(joined(pieces, ByteVocabulary())) == text.encode()


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path, megabytes = tmp_path / "long.txt", 30
    path.write_bytes(b"a line of this length, 32 bytes\n" * (megabytes << 15))
    tracemalloc.start()
    try:
        count = sum(
            len(part) for part in token_chunks(file_pieces(path), ByteVocabulary(), documents=False)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == megabytes << 20
    assert peak < 6 << 20


@settings(deadline=None, max_examples=50)
@given(st.text("ab \n日", max_size=60), st.integers(1, 9), st.integers(1, 30))
def test_no_piece_is_much_longer_than_allowed(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int, longest: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode())
    pieces = list(file_pieces(path, size, longest))
    assert "".join(pieces) == text
    assert all(0 < len(piece) < longest + size for piece in pieces)


@pytest.mark.parametrize("text", ["ACGTTGCA", "\n", "日本"])
def test_a_text_without_a_place_to_cut_costs_linear_time_and_little_memory(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "dna.txt"
    seen = []
    for megabytes in (1, 4):
        path.write_text(text * (megabytes << 20 >> 3))
        tracemalloc.start()
        try:
            pieces = file_pieces(path, 1 << 12, 1 << 16)
            lengths = [len(piece) for piece in pieces]
            seen.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert sum(lengths) == len(text) * (megabytes << 20 >> 3)
        assert max(lengths) < (1 << 16) + (1 << 12)
    assert seen[1] < 2 << 20


def test_no_text_is_looked_at_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the time grows with the square of a text that has no place to cut."""
    looked: list[int] = []
    last = corpus._last_start_of_space

    def counted(text: str, first: int) -> int:
        looked.append(len(text) - first)
        return last(text, first)

    monkeypatch.setattr(corpus, "_last_start_of_space", counted)
    path = tmp_path / "dna.txt"
    path.write_text("ACGTTGCA" * 1000)
    assert "".join(corpus.file_pieces(path, 100)) == path.read_text()
    assert sum(looked) < 1.1 * 8000


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"fine caf\xe9 text", 8), (b"x" * 70_000 + b"\xff", 70_000), (b"cut \xe6\x97", 4)],
)
def test_other_encodings_are_named_with_the_place(tmp_path: Path, data: bytes, place: int) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        list(file_pieces(path))
    assert str(raised.value).startswith(f"{path}: byte {place} is not UTF-8")


def test_the_content_identifies_a_file(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    one.write_text("same")
    two.write_text("same")
    other.write_text("Same")
    assert file_identity(one) == file_identity(two) != file_identity(other)


# ---------------------------------------------------------------------------------- vocabularies


def test_tokens_take_the_smallest_integers() -> None:
    sizes = (256, 257, 50257, 65536, 65537)
    assert [np.dtype(token_dtype(size)).itemsize for size in sizes] == [1, 2, 2, 2, 4]


def test_documents_are_ended_by_a_mark() -> None:
    gpt2, bert = (TokenizerVocabulary(t(), "name") for t in (gpt2_tokenizer, bert_tokenizer))
    assert joined(["hello", ""], gpt2, documents=True) == [31373, 50256, 50256]
    assert joined(["hello"], bert, documents=True) == [7592, 102]
    assert joined(["hi"], ByteVocabulary(), documents=True) == [*b"hi", 0xFF]
    assert joined(["hello"], gpt2) == [31373]


def test_marks_of_the_tokenizers() -> None:
    gpt2, bert = (TokenizerVocabulary(t(), "name") for t in (gpt2_tokenizer, bert_tokenizer))
    assert (gpt2.size, gpt2.mask, gpt2.before, gpt2.after) == (50257, None, (), ())
    assert (bert.size, bert.mask, bert.before, bert.after) == (30522, 103, (101,), (102,))
    assert gpt2.identity != bert.identity
    assert gpt2.identity == TokenizerVocabulary(gpt2_tokenizer(), "other").identity


# ---------------------------------------------------------------------------------------- the hub


def test_splits_of_a_folder_in_the_hubs_layout(hub_folder: Path) -> None:
    text = hub(hub_folder)
    assert list(text.texts("train")) == ROWS["train"]
    assert list(text.texts("validation")) == ROWS["validation"]
    assert list(text.texts("train", limit=2)) == ROWS["train"][:2]
    alone = hub(hub_folder / CONFIG, config=None)
    assert list(alone.texts("train")) == ROWS["train"]


def test_what_identifies_a_folder_is_its_files(hub_folder: Path, tmp_path: Path) -> None:
    before = hub(hub_folder).identity()
    hub_folder.rename(tmp_path / "elsewhere")
    assert hub(tmp_path / "elsewhere").identity() == before
    (tmp_path / "elsewhere" / CONFIG / "train-00000-of-00001.parquet").touch()
    assert hub(tmp_path / "elsewhere").identity() != before


def test_what_is_wrong_with_a_folder_is_named(hub_folder: Path) -> None:
    with pytest.raises(UserError, match=r"task\.column: .* no column 'txt'; it has text, other"):
        list(hub(hub_folder, column="txt").texts("train"))
    with pytest.raises(UserError, match=r"task\.hub_name: split 'dev' .* does not load"):
        list(hub(hub_folder).texts("dev"))
    with pytest.raises(UserError, match=r"task\.hub_config: no such folder"):
        hub(hub_folder, config="wikitext-3").identity()
    broken = hub_folder / CONFIG / "train-00000-of-00001.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"task\.hub_name: split 'train' .* does not load"):
        list(hub(hub_folder).texts("train"))


@pytest.mark.parametrize(
    ("row", "value"), [('{"text": null}', "None"), ('{"txt": "other"}', "None")]
)
def test_a_row_without_text_is_named(tmp_path: Path, row: str, value: str) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text(f'{{"text": "one"}}\n{row}\n{{"text": "three"}}\n')
    texts = hub(tmp_path, config=None).texts("train")
    assert next(texts) == "one"
    with pytest.raises(UserError) as raised:
        next(texts)
    assert str(raised.value) == (
        f"task.hub_name: '{tmp_path}', train: row 1 (of 0, 1, …) has no text, but {value}"
    )


def test_numbers_in_place_of_text_are_named(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text('{"text": 7}\n{"text": 8}\n')
    with pytest.raises(UserError, match=r"train: row 0 \(of 0, 1, …\) has no text, but 7"):
        next(hub(tmp_path, config=None).texts("train"))


def test_a_name_that_the_hub_does_not_give_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("datasets")

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    text = HubText("Salesforce/wikitext", CONFIG, None, "text")
    with pytest.raises(UserError, match=r"'Salesforce/wikitext' does not load \(OSError: no route"):
        next(text.texts("train"))


# ------------------------------------------------------------------------------ Python's manual


def test_validation_is_the_last_tenth_of_the_manual() -> None:
    text = manual_bytes().tobytes()
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
    text = manual_bytes().tobytes()
    assert text.startswith(b'The "assert" statement')
    assert len(text) > 300_000


def test_a_block_longer_than_the_text_is_an_error() -> None:
    with pytest.raises(UserError, match=r"task\.block is 1000000"):
        byte_text(block=1_000_000)
