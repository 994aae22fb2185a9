"""Pretrained models and tokenizers: missing and damaged configs, weights and vocabularies."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attack.inputs.glue import BERT, SMALL, SST2, sst2
from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import Workshop, setup, setups


def _bert(change: Callable[[Path], Any]) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        sst2(SST2)(workshop)
        change(workshop.bert())

    return make


def _replaced(name: str, content: str | bytes) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return _bert(change)


def _bert_config(**changes: Any) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return _bert(change)


def _only(*names: str) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        for file in folder.iterdir():
            if file.name not in names:
                file.unlink()

    return _bert(change)


class _Harmless:
    """A pickle that is not a plain one."""


def _bin(content: bytes) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)

    return _bert(change)


@setup
def model_folder_is_a_file(workshop: Workshop) -> None:
    sst2(SST2)(workshop)
    workshop.write("bert", "")


setups(
    model_missing=sst2(SST2),
    model_empty=_only(),
    model_without_config=_bert(lambda f: (f / "config.json").unlink()),
    model_config_empty=_replaced("config.json", ""),
    model_config_torn=_replaced("config.json", '{"model_type": "be'),
    model_config_an_object_of_nothing=_replaced("config.json", "{}"),
    model_config_a_list=_replaced("config.json", "[1, 2]"),
    model_config_null=_replaced("config.json", "null"),
    model_config_in_utf_16=_replaced("config.json", '{"model_type": "bert"}'.encode("utf-16")),
    model_config_of_another_model=_bert_config(model_type="gpt2"),
    model_config_of_an_unknown_model=_bert_config(model_type="my_own"),
    model_config_with_text_for_a_width=_bert_config(hidden_size="wide"),
    model_config_with_null_layers=_bert_config(num_hidden_layers=None),
    model_config_with_no_heads=_bert_config(num_attention_heads=0),
    model_config_with_odd_heads=_bert_config(num_attention_heads=7),
    model_config_with_another_width=_bert_config(hidden_size=96, num_attention_heads=4),
    model_config_with_an_unknown_activation=_bert_config(hidden_act="magic"),
    model_config_with_a_small_vocabulary=_bert_config(vocab_size=10),
    model_config_with_negative_layers=_bert_config(num_hidden_layers=-1),
    model_without_weights=_bert(lambda f: (f / "model.safetensors").unlink()),
    model_weights_empty=_replaced("model.safetensors", b""),
    model_weights_text=_replaced("model.safetensors", b"not weights"),
    model_weights_torn=_replaced(
        "model.safetensors", (64).to_bytes(8, "little") + b"{" + bytes(63)
    ),
    model_weights_of_a_huge_header=_replaced("model.safetensors", b"\xff" * 64),
    model_weights_a_pointer=_replaced(
        "model.safetensors",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n",
    ),
    model_weights_lead_nowhere=_bert(
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").symlink_to("x"))
    ),
    model_bin_of_text=_bin(b"not a pickle"),
    model_bin_empty=_bin(b""),
    model_bin_of_a_number=_bin(pickle.dumps(3)),
    model_bin_of_an_object=_bin(pickle.dumps(_Harmless())),
    tokenizer_missing=_only("config.json", "model.safetensors"),
    tokenizer_torn=_replaced("tokenizer.json", '{"version"'),
    tokenizer_of_nothing=_replaced("tokenizer.json", "{}"),
    tokenizer_a_list=_replaced("tokenizer.json", "[]"),
    tokenizer_config_torn=_replaced("tokenizer_config.json", "{"),
    tokenizer_config_a_list=_replaced("tokenizer_config.json", "[]"),
)

_NAMED = "model.name"
MODELS = refused(
    "main.py",
    ("", _NAMED, "model_folder_is_a_file"),
    ("", "bert", "model_empty"),
    ("", _NAMED, "model_without_config"),
    ("", _NAMED, "model_config_empty"),
    ("", _NAMED, "model_config_torn"),
    ("", _NAMED, "model_config_an_object_of_nothing"),
    ("", _NAMED, "model_config_a_list"),
    ("", _NAMED, "model_config_null"),
    ("", _NAMED, "model_config_in_utf_16"),
    ("", f"{_NAMED} | gpt2 | bert", "model_config_of_another_model"),
    ("", f"{_NAMED} | my_own", "model_config_of_an_unknown_model"),
    ("", _NAMED, "model_config_with_text_for_a_width"),
    ("", _NAMED, "model_config_with_null_layers"),
    ("", _NAMED, "model_config_with_no_heads"),
    ("", _NAMED, "model_config_with_odd_heads"),
    ("", _NAMED, "model_config_with_another_width"),
    ("", _NAMED, "model_config_with_an_unknown_activation"),
    ("", "vocabulary | 10", "model_config_with_a_small_vocabulary"),
    ("", "layers", "model_config_with_negative_layers"),
    ("", _NAMED, "model_without_weights"),
    ("", _NAMED, "model_weights_empty"),
    ("", _NAMED, "model_weights_text"),
    ("", _NAMED, "model_weights_torn"),
    ("", _NAMED, "model_weights_of_a_huge_header"),
    ("", _NAMED, "model_weights_a_pointer"),
    ("", _NAMED, "model_weights_lead_nowhere"),
    ("", _NAMED, "model_bin_of_text"),
    ("", _NAMED, "model_bin_empty"),
    ("", _NAMED, "model_bin_of_a_number"),
    ("", _NAMED, "model_bin_of_an_object"),
    ("", "bert", "tokenizer_missing"),
    ("", "bert", "tokenizer_torn"),
    ("", "bert", "tokenizer_of_nothing"),
    ("", "bert", "tokenizer_a_list"),
    ("", "bert", "tokenizer_config_torn"),
    ("", "bert", "tokenizer_config_a_list"),
    ("model.tokenizer=nowhere/at/all", "model.tokenizer | nowhere/at/all", "model_missing"),
    before=f"task=glue/sst2 data_root=. {BERT} {SMALL}",
) + refused(
    "main.py",
    ("model.name=package:no_such_package/model", "model.name | no_such_package", "sst2_good"),
    ("model.name=package:json/../..", "model.name", "sst2_good"),
    ("model.name=package:", "model.name", "sst2_good"),
    ("model.name=nowhere/at/all", "model.name | nowhere/at/all", "sst2_good"),
    ("model.name=null", "model.tokenizer", "sst2_good"),
    ("model.name=", "model.name", "sst2_good"),
    before="task=glue/sst2 model=bert data_root=.",
)

ROWS = MODELS
