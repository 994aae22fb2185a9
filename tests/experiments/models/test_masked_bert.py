"""BERT for masked language modelling: transformers' own loss, pretrained parts kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import BertForMaskedLM

from experiments.errors import UserError
from experiments.models.language_models import MaskedBert, masked_bert
from experiments.models.pretrained import quiet
from tests.experiments.data.locations import bert_folder

POSITIONS = torch.tensor([[1, 4], [0, 5]])


def small(**changes: Any) -> MaskedBert:
    settings: dict[str, Any] = {
        "vocabulary": 50,
        "padding_id": 0,
        "block": 6,
        "width": 16,
        "layers": 2,
        "heads": 2,
        "dropout": None,
    }
    return masked_bert(None, **(settings | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    language_model: Any = small().language_model
    with quiet():
        language_model.save_pretrained(path)
    return path


def test_the_loss_is_transformers_own() -> None:
    model = small().eval()
    tokens, labels = torch.randint(1, 50, (2, 6)), torch.randint(1, 50, (2, 2))
    everywhere = torch.full_like(tokens, -100).scatter(1, POSITIONS, labels)
    language_model: Any = model.language_model
    logits = model(tokens, POSITIONS)
    assert logits.shape == (2, 2, 50)
    torch.testing.assert_close(
        cross_entropy(logits.flatten(0, 1), labels.flatten()),
        language_model(input_ids=tokens, labels=everywhere).loss,
    )


def test_every_parameter_gets_a_gradient() -> None:
    model = small()
    model(torch.randint(1, 50, (2, 6)), POSITIONS).sum().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]


def test_a_vocabulary_without_padding_trains_its_token_0() -> None:
    model = small(padding_id=None)
    model(torch.zeros(2, 6, dtype=torch.int64), POSITIONS).square().sum().backward()
    language_model: Any = model.language_model
    assert language_model.get_input_embeddings().padding_idx is None


def test_pretrained_layers_and_head_are_kept(folder: Path) -> None:
    model = masked_bert(str(folder), vocabulary=50, padding_id=0, block=6, layers=1, dropout=0.0)
    assert model.training
    with quiet():
        whole = BertForMaskedLM.from_pretrained(str(folder)).eval()
    whole.bert.encoder.layer = whole.bert.encoder.layer[:1]
    tokens = torch.randint(1, 50, (2, 6))
    expected = whole(tokens).logits[torch.arange(2)[:, None], POSITIONS]
    torch.testing.assert_close(model(tokens, POSITIONS), expected)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    def load(**changes: Any) -> None:
        settings: dict[str, Any] = {"vocabulary": 50, "block": 6, "layers": None, "dropout": None}
        masked_bert(str(folder), padding_id=0, **(settings | changes))

    load()
    with pytest.raises(UserError, match=r"task\.block is 7, but .* has only 6 positions"):
        load(block=7)
    with pytest.raises(UserError, match=r"task\.tokenizer has a vocabulary of 51"):
        load(vocabulary=51)
    with pytest.raises(UserError, match=r"model\.layers is 3"):
        load(layers=3)
    with pytest.raises(UserError, match=r"model\.heads is 3"):
        small(heads=3)


def test_a_bert_without_a_head_is_refused() -> None:
    with pytest.raises(UserError, match=r"lacks \d+ weights .* 'cls\.predictions"):
        masked_bert(
            str(bert_folder()), vocabulary=30522, padding_id=0, block=8, layers=1, dropout=None
        )
