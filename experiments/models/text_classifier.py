"""Classifiers of texts: BERT, RoBERTa, DistilBERT and GPT-2 with one of two heads.

`linear` is the papers': one position of the last hidden state into one linear layer, and no pooling
layer. `own` is the model's own `…ForSequenceClassification`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PretrainedConfig

from experiments.models.families import FAMILIES, Family, Kind, new_config, pretrained_config
from experiments.models.pretrained import load_model, loading_errors, quiet

Head = Literal["linear", "own"]


@dataclass(frozen=True)
class Wanted:
    """The settings of a classifier; `vocabulary` and `padding_id` are the tokenizer's.

    `layers` None: all, or 12 from scratch; `dropout` None: as pretrained, or 0.1 from scratch.
    """

    kind: Kind
    head: Head
    vocabulary: int
    padding_id: int
    layers: int | None
    dropout: float | None
    max_tokens: int
    classes: int


class _Classifier(nn.Module):
    def __init__(self, family: Family, config: PretrainedConfig) -> None:
        super().__init__()
        self._family = family
        self._padding_id: int = config.pad_token_id

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """int64 N×T each → logits N×classes; positions with attention_mask 0 have no effect.

        For GPT-2's own head these must hold the padding token.
        """
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._family.offset_positions:
            # From the mask, not from the ids as the model would: padding is what the mask says.
            inputs["position_ids"] = attention_mask.cumsum(1) * attention_mask + self._padding_id
        if self._family.takes_types:
            inputs["token_type_ids"] = token_type_ids
        return self._logits(inputs)

    def _logits(self, inputs: dict[str, Any]) -> Tensor:
        raise NotImplementedError


class LinearClassifier(_Classifier):
    """An encoder, and a linear layer on the first or the last token's hidden state."""

    def __init__(
        self, encoder: nn.Module, family: Family, config: PretrainedConfig, classes: int
    ) -> None:
        """The linear layer is initialised as BERT's own: N(0, initializer_range²), bias zero."""
        super().__init__(family, config)
        self.encoder = encoder
        self.head = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.head.weight, std=config.initializer_range)
        nn.init.zeros_(self.head.bias)

    def _logits(self, inputs: dict[str, Any]) -> Tensor:
        hidden = self.encoder(**inputs).last_hidden_state
        read = hidden[:, 0]
        if self._family.reads_last:
            places = torch.arange(hidden.shape[1], device=hidden.device)
            last = (places * inputs["attention_mask"]).argmax(dim=1)
            read = hidden[torch.arange(len(hidden), device=hidden.device), last]
        logits: Tensor = self.head(read)
        return logits


class OwnClassifier(_Classifier):
    """A model's own `…ForSequenceClassification`."""

    def __init__(self, classifier: nn.Module, family: Family, config: PretrainedConfig) -> None:
        super().__init__(family, config)
        self.classifier = classifier

    def _logits(self, inputs: dict[str, Any]) -> Tensor:
        logits: Tensor = self.classifier(**inputs).logits
        return logits


def pretrained_classifier(name: str, wanted: Wanted) -> nn.Module:
    """The first layers of the model `name` (hub or folder) in float32, in training mode.

    The linear head is new; the model's own is taken from `name` if it has one of that size.
    """
    positions = ("task.max_tokens", wanted.max_tokens)
    tokens = ("model.tokenizer", wanted.vocabulary)
    sizes = positions, tokens, wanted.layers, wanted.dropout
    with loading_errors(name):
        config = pretrained_config(name, wanted.kind, *sizes)
        own_head = FAMILIES[wanted.kind].own_head
        load = partial(load_model, name=name, config=config, may_be_new=own_head)
        # from_pretrained leaves the model in evaluation mode, which a new head is not in.
        return _with_head(load, config, wanted).train()


def new_classifier(width: int, heads: int, wanted: Wanted) -> nn.Module:
    """A classifier from scratch; the MLPs are four times as wide as the stream."""
    config = new_config(
        wanted.kind,
        vocabulary=wanted.vocabulary,
        padding_id=wanted.padding_id,
        positions=wanted.max_tokens,
        width=width,
        layers=wanted.layers,
        heads=heads,
        dropout=wanted.dropout,
    )

    def build(cls: Any, **arguments: bool) -> nn.Module:
        model: nn.Module = cls.from_config(config, **arguments)
        return model

    with quiet():
        return _with_head(build, config, wanted)


def _with_head(
    build: Callable[..., nn.Module], config: PretrainedConfig, wanted: Wanted
) -> nn.Module:
    """The classifier whose model `build` makes of a class of transformers."""
    family = FAMILIES[wanted.kind]
    if family.reads_last:
        # A language model is made without padding; there is nothing to generate here.
        config.pad_token_id = wanted.padding_id
        config.bos_token_id = config.eos_token_id = wanted.padding_id
        config.use_cache = False
    if wanted.head == "own":
        config.num_labels = wanted.classes
        return OwnClassifier(build(AutoModelForSequenceClassification), family, config)
    arguments = {"add_pooling_layer": False} if family.has_pooler else {}
    encoder = build(AutoModel, **arguments)
    return LinearClassifier(encoder, family, config, wanted.classes)
