"""Pretrained folders of strangers: whatever is in them, one line that names the folder."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertModel

from experiments.errors import UserError
from experiments.models.language_models import gpt2, masked_bert
from experiments.models.pretrained import (
    load_config,
    load_model,
    load_tokenizer,
    loading_errors,
    quiet,
)
from experiments.models.text_classifier import text_classifier
from tests.experiments.data.locations import bert_folder

SETTINGS: dict[str, Any] = {
    "kind": "bert",
    "head": "linear",
    "vocabulary": 30522,
    "padding_id": 0,
    "max_tokens": 8,
    "classes": 2,
    "layers": 1,
    "dropout": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small BERT, its weights linked, to be broken."""
    folder = tmp_path / "bert"
    folder.mkdir()
    for path in bert_folder().glob("*.json"):
        shutil.copy(path, folder)
    os.symlink(bert_folder() / "model.safetensors", folder / "model.safetensors")
    return folder


def assert_named(folder: Path, key: str, call: Any) -> str:
    with pytest.raises(UserError) as raised:
        call()
    message = str(raised.value)
    assert message.startswith(f"{key}: the folder '{folder}' does not load: "), message
    assert "\n" not in message
    return message


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("text", ["", "{", "5", "null", "[]", '{"model_type": {}}', "[" * 5000])
def test_a_config_that_is_none_names_the_folder(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert_named(folder, "model.name", lambda: load_config(str(folder), "bert"))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "{", "5", "null", "[]"])
def test_a_tokenizer_that_is_none_names_the_folder(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    assert_named(folder, "task.tokenizer", lambda: load_tokenizer(str(folder), "task.tokenizer"))


def test_a_tokenizer_that_cannot_tokenise_names_the_folder(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] = {"a": 0}
    path.write_text(json.dumps(content))
    assert_named(folder, "task.tokenizer", lambda: load_tokenizer(str(folder), "task.tokenizer"))


def test_a_longest_text_that_is_no_number_names_the_folder(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": {}}))
    message = assert_named(
        folder, "task.tokenizer", lambda: load_tokenizer(str(folder), "task.tokenizer")
    )
    assert "model_max_length" in message


def test_trying_a_tokenizer_leaves_it_as_it_was() -> None:
    tokenizer = load_tokenizer(str(bert_folder()), "key")
    with quiet():
        untouched = AutoTokenizer.from_pretrained(str(bert_folder()))
    assert tokenizer.backend_tokenizer.to_str() == untouched.backend_tokenizer.to_str()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gold"},
        {"num_attention_heads": 0},
        {"torch_dtype": "gold"},
        {"hidden_size": "384"},
        {"vocab_size": None},
    ],
)
def test_sizes_that_make_no_model_name_the_folder(folder: Path, changes: dict[str, Any]) -> None:
    change_config(folder, **changes)
    assert_named(folder, "model.name", lambda: text_classifier(str(folder), **SETTINGS))


@pytest.mark.parametrize(
    ("kind", "build"), [("gpt2", gpt2), ("bert", partial(masked_bert, padding_id=0))]
)
def test_language_models_that_cannot_be_built_name_the_folder(
    tmp_path: Path, kind: str, build: Any
) -> None:
    heads = {"n_head": 0, "num_attention_heads": 0}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **heads}))
    settings = {"vocabulary": 9, "block": 4, "layers": 1, "dropout": 0.0}
    assert_named(tmp_path, "model.name", lambda: build(str(tmp_path), **settings))


def test_what_fails_beyond_loading_names_the_folder(tmp_path: Path) -> None:
    def build() -> None:
        with loading_errors(str(tmp_path)):
            raise KeyError("hidden")

    message = assert_named(tmp_path, "model.name", build)
    assert message.endswith("KeyError: 'hidden'")


class Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> Any:
        return os.system, (self._command,)


def weights(folder: Path) -> Any:
    config = load_config(str(folder), "bert")
    return load_model(BertModel, str(folder), config, add_pooling_layer=False)


def test_a_checkpoint_that_runs_code_is_refused_without_advice_to_load_it(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"w": Payload(f"touch {tmp_path / 'ran'}")}, folder / "pytorch_model.bin")
    message = assert_named(folder, "model.name", lambda: weights(folder))
    assert not (tmp_path / "ran").exists()
    assert "posix.system" in message
    assert "weights_only" not in message
    assert "trust" not in message


@pytest.mark.parametrize("content", [[1, 2], "text", None, {1: 2}])
def test_a_checkpoint_of_other_things_names_the_folder(folder: Path, content: Any) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    assert_named(folder, "model.name", lambda: weights(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors.index.json"])
def test_files_of_text_in_place_of_weights_name_the_folder(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_text("[]")
    assert_named(folder, "model.name", lambda: weights(folder))
