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

from experiments.models.families import Kind, new_config, pretrained_config
from experiments.models.pretrained import load_model, loading_errors, quiet


@dataclass(frozen=True)
class Wanted:
    """The settings of a classifier; `vocabulary` and `padding_id` are the tokenizer's.

    `layers` None: all, or 12 from scratch; `dropout` None: as pretrained, or 0.1 from scratch.
    """

    kind: Kind
    head: Literal["linear", "own"]
    vocabulary: int
    padding_id: int
    layers: int | None
    dropout: float | None
    max_tokens: int
    classes: int


class TextClassifier(nn.Module):
    """The head is on the first token's hidden state, for GPT-2 on the last token's."""

    def __init__(
        self, build: Callable[..., nn.Module], config: PretrainedConfig, wanted: Wanted
    ) -> None:
        """`build` makes a model of a class of transformers.

        A new linear layer is initialised as BERT's own: N(0, initializer_range²), bias zero.
        """
        super().__init__()
        if wanted.kind == "gpt2":
            # A language model is made without padding; there is nothing to generate here.
            config.pad_token_id = wanted.padding_id
            config.bos_token_id = config.eos_token_id = wanted.padding_id
            config.use_cache = False
        self._kind, self._head = wanted.kind, wanted.head
        self._padding_id: int = config.pad_token_id
        if wanted.head == "own":
            config.num_labels = wanted.classes
            self.classifier = build(AutoModelForSequenceClassification)
            return
        has_pooler = wanted.kind in ("bert", "roberta")
        self.encoder = build(AutoModel, **({"add_pooling_layer": False} if has_pooler else {}))
        self.head = nn.Linear(config.hidden_size, wanted.classes)
        nn.init.normal_(self.head.weight, std=config.initializer_range)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """int64 N×T each → logits N×classes; positions with attention_mask 0 have no effect.

        For GPT-2's own head these must hold the padding token.
        """
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._kind == "roberta":
            # From the mask, not from the ids as the model would: padding is what the mask says.
            inputs["position_ids"] = attention_mask.cumsum(1) * attention_mask + self._padding_id
        if self._kind == "bert":
            inputs["token_type_ids"] = token_type_ids
        logits: Tensor
        if self._head == "own":
            logits = self.classifier(**inputs).logits
            return logits
        hidden = self.encoder(**inputs).last_hidden_state
        read = hidden[:, 0]
        if self._kind == "gpt2":
            places = torch.arange(hidden.shape[1], device=hidden.device)
            last = (places * attention_mask).argmax(dim=1)
            read = hidden[torch.arange(len(hidden), device=hidden.device), last]
        logits = self.head(read)
        return logits


def pretrained_classifier(name: str, wanted: Wanted) -> TextClassifier:
    """The first layers of the model `name` (hub or folder) in float32, in training mode.

    The linear head is new; the model's own is taken from `name` if it has one of that size.
    """
    positions = ("task.max_tokens", wanted.max_tokens)
    tokens = ("model.tokenizer", wanted.vocabulary)
    sizes = positions, tokens, wanted.layers, wanted.dropout
    with loading_errors(name):
        config = pretrained_config(name, wanted.kind, *sizes)
        load = partial(load_model, name=name, config=config)
        # from_pretrained leaves the model in evaluation mode, which a new head is not in.
        return TextClassifier(load, config, wanted).train()


def new_classifier(width: int, heads: int, wanted: Wanted) -> TextClassifier:
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
    with quiet():
        return TextClassifier(lambda cls, **more: cls.from_config(config, **more), config, wanted)
