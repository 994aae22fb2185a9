"""Classifiers of texts: BERT, RoBERTa, DistilBERT and GPT-2 with one of two heads.

`linear` is the papers': one position of the last hidden state into one linear layer, and no pooling
layer. `own` is the model's own `…ForSequenceClassification`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PretrainedConfig

from experiments.models.families import Kind, new_config, pretrained_config
from experiments.models.pretrained import load_model, loading_errors, quiet

Head = Literal["linear", "own"]


class TextClassifier(nn.Module):
    """The head is on the first token's hidden state, for GPT-2 on the last token's."""

    def __init__(
        self, build: Callable[..., nn.Module], config: PretrainedConfig, head: Head, classes: int
    ) -> None:
        """`build` makes a model of a class of transformers.

        A new linear layer is initialised as BERT's own: N(0, initializer_range²), bias zero.
        """
        super().__init__()
        self._kind, self._own_head = config.model_type, head == "own"
        self._padding_id: int = config.pad_token_id
        if self._own_head:
            config.num_labels = classes
            self.classifier = build(AutoModelForSequenceClassification)
            return
        has_pooler = self._kind in ("bert", "roberta")
        self.encoder = build(AutoModel, **({"add_pooling_layer": False} if has_pooler else {}))
        self.head = nn.Linear(config.hidden_size, classes)
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
        if self._own_head:
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


def text_classifier(
    name: str | None,
    kind: Kind,
    head: Head,
    *,
    vocabulary: int,
    padding_id: int,
    max_tokens: int,
    classes: int,
    layers: int | None,
    dropout: float | None,
    **shape: int,
) -> TextClassifier:
    """The first layers of the model `name` (hub or folder) in float32; None: from scratch.

    `vocabulary` and `padding_id` are the tokenizer's; `shape` is the `width` and the `heads` of a
    model from scratch. `layers` None: all, or 12 from scratch; `dropout` None: as pretrained, or
    0.1 from scratch. The linear head is new; the own one is taken from `name` if it has one of that
    size.
    """
    build: Callable[..., nn.Module]
    with quiet(), nullcontext() if name is None else loading_errors(name):
        if name is not None:
            positions, tokens = ("task.max_tokens", max_tokens), ("model.tokenizer", vocabulary)
            config = pretrained_config(name, kind, positions, tokens, layers, dropout)
            build = partial(load_model, name=name, config=config)
        else:
            sizes = {"vocabulary": vocabulary, "positions": max_tokens, **shape}
            config = new_config(
                kind, padding_id=padding_id, layers=layers, dropout=dropout, **sizes
            )
            build = lambda cls, **more: cls.from_config(config, **more)  # noqa: E731
        if kind == "gpt2":
            # A language model is made without padding; there is nothing to generate here.
            config.pad_token_id = config.bos_token_id = config.eos_token_id = padding_id
            config.use_cache = False
        # Pretrained models come in evaluation mode, which a new head is not in.
        return TextClassifier(build, config, head, classes).train()
