"""BERT: kept layers, padding, no pooling layer, clear errors, quiet loading."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

from experiments.errors import UserError
from experiments.models.bert import BertClassifier, new_bert, pretrained_bert
from experiments.models.pretrained import load_config, load_tokenizer, quiet
from tests.experiments.data.locations import bert_folder

VOCABULARY = 30522


def small(**changes: Any) -> BertClassifier:
    settings: dict[str, Any] = {
        "vocabulary": 50,
        "padding_id": 0,
        "width": 16,
        "layers": 2,
        "heads": 2,
        "dropout": None,
        "max_tokens": 12,
        "classes": 3,
    }
    return new_bert(**(settings | changes))


def pretrained(**changes: Any) -> BertClassifier:
    settings: dict[str, Any] = {
        "name": str(bert_folder()),
        "vocabulary": VOCABULARY,
        "layers": 2,
        "dropout": None,
        "max_tokens": 64,
        "classes": 2,
    }
    return pretrained_bert(**(settings | changes))


def save(encoder: Any, folder: Path) -> None:
    with quiet():
        encoder.save_pretrained(folder)


def test_padding_does_not_change_the_logits() -> None:
    for model, top in ((small().eval(), 50), (pretrained().eval(), VOCABULARY)):
        ids = torch.randint(1, top, (2, 8))
        mask = torch.ones_like(ids)
        mask[1, 5:] = 0
        alone = model(ids[1:, :5], mask[1:, :5])
        for filler in (0, 7):
            padded = ids.masked_fill(mask == 0, filler)
            torch.testing.assert_close(model(padded, mask)[1:], alone, rtol=1e-4, atol=1e-5)


def test_kept_layers_equal_the_pretrained_ones() -> None:
    encoder = pretrained(layers=2).encoder
    with quiet():
        whole = BertModel.from_pretrained(str(bert_folder()), dtype=torch.float32)
    kept = encoder.state_dict()
    layers = {name.split(".")[2] for name in kept if name.startswith("encoder.layer.")}
    assert layers == {"0", "1"}
    for name, value in kept.items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_all_layers_are_kept_by_default() -> None:
    encoder: Any = pretrained(layers=None).encoder
    assert len(encoder.encoder.layer) == 6


def test_there_is_no_pooling_layer() -> None:
    for model in (small(), pretrained()):
        assert not [name for name, _ in model.named_parameters() if "pooler" in name]


def test_every_parameter_gets_a_gradient() -> None:
    model = small()
    model(torch.randint(1, 50, (2, 8)), torch.ones(2, 8, dtype=torch.int64)).sum().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]


def test_parameters_are_float32_though_the_file_is_not(tmp_path: Path) -> None:
    save(small().encoder.to(torch.bfloat16), tmp_path)
    model = pretrained(name=str(tmp_path), vocabulary=50, max_tokens=12)
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_dropout_is_as_pretrained_unless_given() -> None:
    def rates(model: BertClassifier) -> set[float]:
        return {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}

    assert rates(pretrained()) == rates(small()) == {0.1}
    assert rates(pretrained(dropout=0.0)) == rates(small(dropout=0.0)) == {0.0}


def test_models_come_in_training_mode() -> None:
    assert all(module.training for module in pretrained().modules())
    assert all(module.training for module in small().modules())


def test_one_seed_gives_one_model() -> None:
    for build in (small, pretrained):
        torch.manual_seed(3)
        first = build().state_dict()
        torch.manual_seed(3)
        for name, value in build().state_dict().items():
            assert torch.equal(value, first[name]), name


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    pretrained()
    load_tokenizer(str(bert_folder()), "model.name")
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 7}, r"model\.layers is 7, but .* has only 6 layers"),
        ({"max_tokens": 513}, r"task\.max_tokens is 513, but .* has only 512 positions"),
        ({"vocabulary": 40000}, r"model\.tokenizer has a vocabulary of 40000"),
    ],
)
def test_sizes_beyond_the_pretrained_ones_are_refused(
    changes: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pretrained(**changes)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.heads is 3"):
        small(heads=3)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"model\.name") as raised:
        load_config(missing, "bert")
    assert missing in str(raised.value)
    assert "local folder" in str(raised.value)
    with pytest.raises(UserError, match=r"^model\.tokenizer: "):
        load_tokenizer(missing, "model.tokenizer")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.name: the folder .* does not load"):
        load_config(str(tmp_path), "bert")


def test_a_truncated_file_of_weights_is_named(tmp_path: Path) -> None:
    save(small().encoder, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.name: the folder .* does not load"):
        pretrained(name=str(tmp_path), vocabulary=50, max_tokens=12)


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    save(small(layers=2).encoder, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(
        config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    with pytest.raises(UserError, match=r"lacks \d+ weights .* 'encoder\.layer\.2"):
        pretrained(name=str(tmp_path), vocabulary=50, max_tokens=12, layers=None)


def test_a_model_of_another_type_is_refused(tmp_path: Path) -> None:
    shutil.copytree(bert_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safe*"))
    with pytest.raises(UserError, match="of type 'bert', not 'gpt2'"):
        load_config(str(tmp_path / "model"), "gpt2")
