"""Text classifiers: kept layers, padding, heads, clear errors, quiet loading, for every kind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn
from transformers import BertModel

from experiments.errors import UserError
from experiments.models.families import Kind
from experiments.models.pretrained import load_config, load_tokenizer, quiet
from experiments.models.text_classifier import text_classifier
from tests.experiments.data.locations import bert_folder

VOCABULARY = 30522
SMALL: dict[str, Any] = {
    "kind": "bert",
    "head": "linear",
    "vocabulary": 50,
    "padding_id": 0,
    "max_tokens": 12,
    "classes": 3,
    "layers": 2,
    "dropout": None,
    "width": 16,
    "heads": 2,
}
KINDS = get_args(Kind)
KINDS_AND_HEADS = [(kind, head) for kind in KINDS for head in ("linear", "own")]


def small(**changes: Any) -> Any:
    return text_classifier(None, **(SMALL | changes))


def pretrained(name: str | None = None, **changes: Any) -> Any:
    settings = {"vocabulary": VOCABULARY, "max_tokens": 64, "classes": 2}
    folder = str(bert_folder()) if name is None else name
    return text_classifier(folder, **(SMALL | settings | changes))


def from_folder(folder: Path, **changes: Any) -> Any:
    """A small model of the folder's kind, as if pretrained."""
    return pretrained(str(folder), **({"vocabulary": 50, "max_tokens": 12} | changes))


def save(encoder: Any, folder: Path) -> None:
    with quiet():
        encoder.save_pretrained(folder)


def check_padding(model: nn.Module, top: int, fillers: tuple[int, ...]) -> None:
    ids = torch.randint(8, top, (2, 8))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    alone = model(ids[1:, :5], mask[1:, :5])
    for filler in fillers:
        padded = ids.masked_fill(mask == 0, filler)
        torch.testing.assert_close(model(padded, mask)[1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "head"), KINDS_AND_HEADS)
def test_padding_does_not_change_the_logits(kind: Any, head: Any) -> None:
    model = small(kind=kind, head=head, padding_id=3).eval()
    # GPT-2's own head looks for padding by its token.
    check_padding(model, 50, (3,) if (kind, head) == ("gpt2", "own") else (3, 7))


def test_padding_does_not_change_the_pretrained_logits() -> None:
    check_padding(pretrained().eval(), VOCABULARY, (0, 7))


def test_gpt2_reads_the_last_token_and_the_others_the_first() -> None:
    ids = torch.randint(1, 50, (1, 8))
    mask = torch.ones_like(ids)
    for kind in KINDS:
        model = small(kind=kind, layers=1).eval()
        hidden: list[torch.Tensor] = []
        model.head.register_forward_pre_hook(lambda _m, given, seen=hidden: seen.append(given[0]))
        model(ids, mask)
        whole = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        read = whole[:, -1 if kind == "gpt2" else 0]
        torch.testing.assert_close(hidden[0], read)


def test_bert_alone_is_told_which_text_a_token_is_of() -> None:
    ids = torch.randint(1, 50, (2, 8))
    mask, types = torch.ones_like(ids), torch.ones_like(ids)
    types[:, :4] = 0
    for kind in KINDS:
        model = small(kind=kind).eval()
        same = torch.equal(model(ids, mask, types), model(ids, mask))
        assert same == (kind != "bert"), kind


@pytest.mark.parametrize(("kind", "head"), KINDS_AND_HEADS)
def test_a_saved_model_is_loaded_with_its_first_layers(
    kind: Any, head: Any, tmp_path: Path
) -> None:
    saved = small(kind=kind, head=head, layers=3, padding_id=1)
    source = saved.encoder if head == "linear" else saved.classifier
    save(source, tmp_path)
    model = from_folder(tmp_path, kind=kind, head=head, layers=2, padding_id=1, classes=3)
    loaded = model.encoder if head == "linear" else model.classifier
    kept = loaded.state_dict()
    assert len(kept) < len(source.state_dict())
    for name, value in kept.items():
        assert torch.equal(value, source.state_dict()[name]), name
    ids = torch.randint(4, 50, (2, 8))
    assert model(ids, torch.ones_like(ids)).shape == (2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_head_is_new_where_the_folder_has_none(kind: Any, tmp_path: Path) -> None:
    # BERT's own classifier reads its pooling layer, which a folder must have.
    whole = small(kind=kind, head="own")
    save(whole.classifier.base_model, tmp_path)
    model = from_folder(tmp_path, kind=kind, head="own", classes=5)
    ids = torch.randint(4, 50, (2, 8))
    assert model(ids, torch.ones_like(ids)).shape == (2, 5)


def test_berts_own_head_needs_the_pooling_layer(tmp_path: Path) -> None:
    save(small().encoder, tmp_path)
    with pytest.raises(UserError, match=r"lacks 2 weights .* 'bert\.pooler"):
        from_folder(tmp_path, head="own")


def test_an_own_head_of_another_size_is_refused(tmp_path: Path) -> None:
    save(small(head="own").classifier, tmp_path)
    with pytest.raises(UserError, match=r"model\.name: the folder .* does not load"):
        from_folder(tmp_path, head="own", classes=2)


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


@pytest.mark.parametrize(("kind", "head"), KINDS_AND_HEADS)
def test_every_parameter_gets_a_gradient(kind: Any, head: Any) -> None:
    model = small(kind=kind, head=head)
    model(torch.randint(1, 50, (2, 8)), torch.ones(2, 8, dtype=torch.int64)).sum().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]


def test_parameters_are_float32_though_the_file_is_not(tmp_path: Path) -> None:
    save(small().encoder.to(torch.bfloat16), tmp_path)
    model = from_folder(tmp_path)
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def rates(model: nn.Module) -> set[float]:
    return {module.p for module in model.modules() if isinstance(module, nn.Dropout)}


def test_dropout_is_as_pretrained_unless_given() -> None:
    assert rates(pretrained()) == rates(small()) == {0.1}
    assert rates(pretrained(dropout=0.0)) == {0.0}


@pytest.mark.parametrize(("kind", "head"), KINDS_AND_HEADS)
def test_dropout_can_be_turned_off(kind: Any, head: Any) -> None:
    model = small(kind=kind, head=head, dropout=0.0)
    assert rates(model) <= {0.0}
    ids = torch.randint(4, 50, (2, 8))
    mask = torch.ones_like(ids)
    assert torch.equal(model(ids, mask), model(ids, mask))


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


def test_roberta_has_fewer_positions_than_its_config_says(tmp_path: Path) -> None:
    save(small(kind="roberta", padding_id=1).encoder, tmp_path)
    from_folder(tmp_path, kind="roberta", padding_id=1, max_tokens=12)
    with pytest.raises(UserError, match="has only 12 positions"):
        from_folder(tmp_path, kind="roberta", padding_id=1, max_tokens=13)


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
        from_folder(tmp_path)


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    save(small(layers=2).encoder, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(
        config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    with pytest.raises(UserError, match=r"lacks \d+ weights .* 'encoder\.layer\.2"):
        from_folder(tmp_path, layers=None)


def test_a_model_of_another_type_is_refused(tmp_path: Path) -> None:
    shutil.copytree(bert_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safe*"))
    with pytest.raises(UserError, match="of type 'bert', not 'gpt2'"):
        load_config(str(tmp_path / "model"), "gpt2")
