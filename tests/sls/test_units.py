"""Models split into units: every parameter in exactly one, in the model's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

from experiments.models.efficientnet import EfficientNet
from experiments.models.language_models import GPT2, MaskedBert
from experiments.models.mlp import MLP
from experiments.models.resnet import ResNet
from experiments.models.vit import ViT
from sls import PLASLS, units
from sls.units import nested_groups


def bert_config() -> BertConfig:
    return BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )


def gpt2() -> nn.Module:
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=50, n_embd=8, n_layer=3, n_head=2, n_positions=16, **ids)
    return GPT2LMHeadModel(config)


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=8, patch_size=4, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16
    )


IMAGES = {"in_channels": 3, "classes": 2}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "BERT": lambda: BertForSequenceClassification(bert_config()),
    "BERT for masked words": lambda: BertForMaskedLM(bert_config()),
    "GPT-2": gpt2,
    "ResNet-18": torchvision.models.resnet18,
    "ViT": vit,
    "harness GPT-2": lambda: GPT2(gpt2()),
    "harness BERT": lambda: MaskedBert(BertForMaskedLM(bert_config())),
    "harness ResNet-8": lambda: ResNet(depth=8, stem="cifar", width=4, **IMAGES),
    "harness EfficientNet": lambda: EfficientNet(
        variant="b0", stem="cifar", dropout=None, **IMAGES
    ),
    "harness ViT": lambda: ViT(size=8, patch=4, width=8, layers=3, heads=2, dropout=0.0, **IMAGES),
    "harness MLP": lambda: MLP(inputs=4, width=4, layers=3, dropout=0.1, classes=2),
}
SPLITS: dict[str, Callable[[nn.Module], list[dict[str, Any]]]] = {
    "by layer": units.by_layer,
    "by two layers": lambda model: units.by_layer(model, layers_per_unit=2),
    "by kind": units.by_kind,
    "by first name": lambda model: units.by_name(model, lambda name: name.split(".")[0]),
}
each_model = pytest.mark.parametrize("model", MODELS)


def names(split: list[dict[str, Any]]) -> list[str]:
    return [unit["name"] for unit in split]


@pytest.mark.parametrize("split", SPLITS)
@each_model
def test_every_parameter_is_in_exactly_one_unit(model: str, split: str) -> None:
    built = MODELS[model]()
    params = [id(param) for unit in SPLITS[split](built) for param in unit["params"]]
    assert sorted(params) == sorted(id(param) for param in built.parameters())


@pytest.mark.parametrize("split", SPLITS)
@each_model
def test_units_are_in_the_models_order(model: str, split: str) -> None:
    built = MODELS[model]()
    order = {id(param): i for i, param in enumerate(built.parameters())}
    made = SPLITS[split](built)
    firsts = [order[id(unit["params"][0])] for unit in made]
    assert firsts == sorted(firsts)
    for unit in made:
        places = [order[id(param)] for param in unit["params"]]
        assert places == sorted(places)


LAYERS = {"BERT": 3, "BERT for masked words": 3, "GPT-2": 3, "ResNet-18": 8, "ViT": 3} | {
    "harness GPT-2": 3,
    "harness BERT": 3,
    "harness ResNet-8": 3,
    "harness ViT": 3,
}


@pytest.mark.parametrize("model", LAYERS)
def test_layers_lie_between_embeddings_and_head(model: str) -> None:
    layers = [f"layer {i}" for i in range(LAYERS[model])]
    assert names(units.by_layer(MODELS[model]())) == ["embeddings", *layers, "head"]


def test_a_layer_has_the_parameters_of_its_module() -> None:
    model = BertForSequenceClassification(bert_config())
    unit = units.by_layer(model)[2]
    expected = list(model.bert.encoder.layer[1].parameters())
    assert [id(p) for p in unit["params"]] == [id(p) for p in expected]


def test_single_modules_are_layers_where_there_are_no_blocks() -> None:
    assert names(units.by_layer(MODELS["harness MLP"]())) == [
        "layer 0",
        "layer 1",
        "layer 2",
        "head",
    ]


def test_a_sequential_of_single_modules_is_a_layer() -> None:
    block = [nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.ReLU()) for _ in range(2)]
    assert [len(unit["params"]) for unit in units.by_layer(nn.ModuleList(block))] == [4, 4]


def test_a_wrapper_of_one_module_is_no_layer() -> None:
    wrapped = nn.Sequential(MODELS["ResNet-18"]())
    assert len(units.by_layer(wrapped)) == LAYERS["ResNet-18"] + 2


def test_a_list_of_one_block_is_one_layer() -> None:
    block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.ModuleDict({"blocks": nn.ModuleList([block]), "head": nn.Linear(2, 2)})
    assert names(units.by_layer(model)) == ["layer 0", "head"]


def test_layers_per_unit_takes_consecutive_layers() -> None:
    model = BertForSequenceClassification(bert_config())
    made = units.by_layer(model, layers_per_unit=2)
    assert names(made) == ["embeddings", "layers 0-1", "layer 2", "head"]
    assert len(made[1]["params"]) == 2 * len(made[2]["params"])


def test_kinds_of_bert() -> None:
    made = names(units.by_kind(MODELS["BERT"]()))
    assert made[:4] == [
        "embeddings",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ]
    assert made[-2:] == ["output.LayerNorm", "head"]


def test_a_kind_has_the_module_of_every_layer() -> None:
    model = BertForSequenceClassification(bert_config())
    queries = [layer.attention.self.query for layer in model.bert.encoder.layer]
    expected = [id(param) for query in queries for param in query.parameters()]
    assert [id(param) for param in units.by_kind(model)[1]["params"]] == expected


def test_kinds_of_gpt2_keep_what_is_one_tensor_together() -> None:
    assert "attn.c_attn" in names(units.by_kind(gpt2()))


def test_a_shared_parameter_is_in_the_first_unit_that_has_it() -> None:
    model = gpt2()
    first, *_, last = units.by_layer(model)
    shared = id(model.get_output_embeddings().weight)
    assert shared in [id(param) for param in first["params"]]
    assert shared not in [id(param) for param in last["params"]]


def test_parameters_between_two_lists_of_layers_are_a_unit() -> None:
    def stack() -> nn.ModuleList:
        return nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(2))

    model = nn.ModuleDict({"one": stack(), "norm": nn.LayerNorm(2), "two": stack()})
    made = names(units.by_layer(model))
    assert made == ["layer 0", "layer 1", "between layers", "layer 2", "layer 3"]


def test_the_name_of_a_module_means_nothing() -> None:
    model = nn.ModuleDict({"layers": nn.Linear(2, 2), "blocks": nn.Embedding(3, 2)})
    with pytest.raises(ValueError, match=r"ModuleDict has no layers.*sls\.units\.by_name"):
        units.by_layer(model)
    with pytest.raises(ValueError, match="ModuleDict has no layers"):
        units.by_kind(model)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2"])
def test_a_wrong_number_of_layers_is_refused(number: Any) -> None:
    with pytest.raises(ValueError, match=r"layers_per_unit must be a whole number of at least 1"):
        units.by_layer(gpt2(), layers_per_unit=number)


def test_parameters_that_no_unit_has_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"2 of 4 parameters.*0\.bias, 1\.bias"):
        units.by_name(model, lambda name: "weights" if name.endswith(".weight") else None)


@each_model
def test_units_are_parameter_groups(model: str) -> None:
    made = units.by_layer(MODELS[model]())
    assert names(PLASLS(made).param_groups) == names(made)


def tensors(number: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)) for _ in range(number)]


def test_lists_of_parameters_are_units() -> None:
    first, second, third = tensors(3)
    made = nested_groups([iter([first, second]), (third,)])
    assert made == [{"params": [first, second]}, {"params": [third]}]


@pytest.mark.parametrize(
    "params",
    [
        tensors(2),
        [("a", tensors(1)[0])],
        [{"params": tensors(1)}],
        iter([tensors(1)]),
        [],
    ],
    ids=["parameters", "pairs", "groups", "iterator", "nothing"],
)
def test_other_forms_are_not_units(params: Any) -> None:
    assert nested_groups(params) is None
