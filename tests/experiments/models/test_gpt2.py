"""GPT-2 on bytes and on byte pairs: causal, quiet, pretrained parts kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from experiments.errors import UserError
from experiments.models.language_models import byte_token_ids, gpt2
from experiments.models.pretrained import quiet
from tests.experiments.data.locations import data_root


@pytest.fixture(scope="module")
def byte_pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 with the vocabulary of the real one, as if pretrained."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(n_positions=16, n_embd=8, n_layer=3, n_head=2)
    with quiet():
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_later_bytes_do_not_change_earlier_logits() -> None:
    model = gpt2(None, vocabulary=256, block=16, width=16, layers=2, heads=2, dropout=0.0).eval()
    first = torch.randint(0, 256, (2, 16))
    second = first.clone()
    second[:, 9:] = (second[:, 9:] + 1) % 256
    torch.testing.assert_close(model(first)[:, :9], model(second)[:, :9])
    assert not torch.allclose(model(first)[:, 9:], model(second)[:, 9:])


def test_a_logit_for_each_byte_at_each_position() -> None:
    model = gpt2(None, vocabulary=256, block=16, width=16, layers=2, heads=2, dropout=0.0)
    assert model(torch.tensor([[0, 255, 128]])).shape == (1, 3, 256)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], byte_pair_folder: Path) -> None:
    for model in (
        gpt2(None, vocabulary=256, block=16, width=16, layers=1, heads=2, dropout=0.1),
        gpt2(str(byte_pair_folder), vocabulary=256, block=16, layers=2, dropout=0.0),
    ):
        model(torch.randint(0, 256, (2, 16))).sum().backward()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_small_vocabulary_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[Any] = []
    logger = logging.get_logger("transformers.configuration_utils")
    monkeypatch.setattr(logger, "handle", records.append)
    logging.warning_once.cache_clear()
    gpt2(None, vocabulary=7, block=16, width=16, layers=1, heads=2, dropout=0.1)
    assert not records


def test_bytes_are_gpt2s_own_tokens() -> None:
    vocabulary = json.loads((data_root() / "gpt2_tokenizer" / "vocab.json").read_text("utf-8"))
    ids = byte_token_ids()
    assert sorted(ids) == list(range(256))
    for byte in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)):
        assert ids[byte] == vocabulary[chr(byte)]
    # GPT-2 writes the n-th byte that does not print as the character 256 + n.
    for n, byte in enumerate([*range(0x21), *range(0x7F, 0xA1), 0xAD]):
        assert ids[byte] == vocabulary[chr(256 + n)]


def test_pretrained_layers_and_byte_embeddings_are_kept(byte_pair_folder: Path) -> None:
    model = gpt2(str(byte_pair_folder), vocabulary=256, block=16, layers=2, dropout=0.0).eval()
    with quiet():
        whole = GPT2LMHeadModel.from_pretrained(str(byte_pair_folder)).eval()
    whole.transformer.h = whole.transformer.h[:2]
    ids = byte_token_ids()
    text = torch.tensor([list(b"GPT-2 \n\xc3\xa9")])
    tokens = torch.tensor([[ids[byte] for byte in text[0].tolist()]])
    torch.testing.assert_close(model(text), whole(tokens).logits[..., ids])


def test_the_output_layer_shares_the_embeddings(byte_pair_folder: Path) -> None:
    for model in (
        gpt2(None, vocabulary=256, block=16, width=16, layers=1, heads=2, dropout=0.0),
        gpt2(str(byte_pair_folder), vocabulary=256, block=16, layers=1, dropout=0.0),
    ):
        language_model: Any = model.language_model
        assert language_model.lm_head.weight is language_model.transformer.wte.weight
        assert language_model.lm_head.weight.shape[0] == 256


def test_sizes_that_do_not_fit_are_refused(byte_pair_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.block is 17, but .* has only 16 positions"):
        gpt2(str(byte_pair_folder), vocabulary=256, block=17, layers=None, dropout=0.0)
    with pytest.raises(UserError, match=r"model\.layers is 4"):
        gpt2(str(byte_pair_folder), vocabulary=256, block=16, layers=4, dropout=0.0)
    with pytest.raises(UserError, match=r"model\.heads is 3"):
        gpt2(None, vocabulary=256, block=16, width=16, layers=1, heads=3, dropout=0.0)
    with quiet():
        other = GPT2Config(vocab_size=1000, n_embd=8, n_layer=1, n_head=2)
        GPT2LMHeadModel(other).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has a vocabulary of 1000"):
        gpt2(str(tmp_path), vocabulary=256, block=16, layers=None, dropout=0.0)


def test_pretrained_byte_pairs_are_kept_whole(byte_pair_folder: Path) -> None:
    name = str(byte_pair_folder)
    model = gpt2(name, vocabulary=50257, block=16, layers=None, dropout=0.0).eval()
    with quiet():
        whole = GPT2LMHeadModel.from_pretrained(name).eval()
    tokens = torch.tensor([[0, 50256, 31373]])
    torch.testing.assert_close(model(tokens), whole(tokens).logits)
    with pytest.raises(UserError, match=r"task\.tokenizer has a vocabulary of 50258"):
        gpt2(name, vocabulary=50258, block=16, layers=None, dropout=0.0)
