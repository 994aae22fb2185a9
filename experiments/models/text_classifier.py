"""Classifiers of texts: BERT, RoBERTa, DistilBERT and GPT-2 with one of two heads.

`linear` is the papers': one position of the last hidden state into one linear layer, and no pooling
layer. `own` is the model's own `…ForSequenceClassification`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2Model,
    PretrainedConfig,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)

from experiments.errors import UserError
from experiments.models.pretrained import (
    from_pretrained,
    keep_layers,
    load_config,
    load_model,
    quiet,
)
from experiments.models.sizes import require_divisible

Kind = Literal["bert", "roberta", "distilbert", "gpt2"]
Head = Literal["linear", "own"]

LAYERS_FROM_SCRATCH = 12
DROPOUT_FROM_SCRATCH = 0.1


@dataclass(frozen=True)
class Family:
    """What differs between the kinds.

    `dropouts` and `hidden_width` are names in the config. `own_head` are the beginnings of the
    names of the weights that only the own head has. `reads_last`: the prediction is made at the
    last token, not the first. `offset_positions`: positions count from padding's id plus one.
    """

    config: type[PretrainedConfig]
    encoder: type[nn.Module]
    classifier: type[nn.Module]
    own_head: tuple[str, ...]
    dropouts: tuple[str, ...] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
    )
    hidden_width: str = "intermediate_size"
    encoder_arguments: Mapping[str, Any] = field(default_factory=dict)
    takes_types: bool = False
    reads_last: bool = False
    offset_positions: bool = False

    def inputs(
        self, input_ids: Tensor, attention_mask: Tensor, types: Tensor | None, padding_id: int
    ) -> dict[str, Tensor | None]:
        """The keywords of the model's `forward`."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.offset_positions:
            # From the mask, not from the ids as the model would: padding is what the mask says.
            given["position_ids"] = attention_mask.cumsum(1) * attention_mask + padding_id
        return given | ({"token_type_ids": types} if self.takes_types else {})


_NO_POOLER = {"add_pooling_layer": False}

FAMILIES: dict[Kind, Family] = {
    "bert": Family(
        BertConfig,
        BertModel,
        BertForSequenceClassification,
        own_head=("classifier.",),
        encoder_arguments=_NO_POOLER,
        takes_types=True,
    ),
    "roberta": Family(
        RobertaConfig,
        RobertaModel,
        RobertaForSequenceClassification,
        own_head=("classifier.",),
        encoder_arguments=_NO_POOLER,
        offset_positions=True,
    ),
    "distilbert": Family(
        DistilBertConfig,
        DistilBertModel,
        DistilBertForSequenceClassification,
        own_head=("pre_classifier.", "classifier."),
        dropouts=("dropout", "attention_dropout", "seq_classif_dropout"),
        hidden_width="hidden_dim",
    ),
    "gpt2": Family(
        GPT2Config,
        GPT2Model,
        GPT2ForSequenceClassification,
        own_head=("score.",),
        dropouts=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        hidden_width="n_inner",
        reads_last=True,
    ),
}


@dataclass(frozen=True)
class Wanted:
    """What a classifier is to be; `vocabulary` and `padding_id` are the tokenizer's.

    Null `layers`: all, or 12 from scratch; null `dropout`: as pretrained, or 0.1 from scratch.
    """

    kind: Kind
    head: Head
    vocabulary: int
    padding_id: int
    layers: int | None
    dropout: float | None
    max_tokens: int
    classes: int


class LinearClassifier(nn.Module):
    """An encoder, and a linear layer on the first or the last token's hidden state."""

    def __init__(
        self, encoder: nn.Module, family: Family, config: PretrainedConfig, classes: int
    ) -> None:
        """The linear layer is initialised as BERT's own: N(0, initializer_range²), bias zero."""
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.head.weight, std=config.initializer_range)
        nn.init.zeros_(self.head.bias)
        self._family = family
        self._padding_id: int = config.pad_token_id

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """int64 N×T each → logits N×classes; positions with attention_mask 0 have no effect."""
        inputs = self._family.inputs(input_ids, attention_mask, token_type_ids, self._padding_id)
        hidden = self.encoder(**inputs).last_hidden_state
        if self._family.reads_last:
            places = torch.arange(hidden.shape[1], device=hidden.device)
            last = (places * attention_mask).argmax(dim=1)
            read = hidden[torch.arange(len(hidden), device=hidden.device), last]
        else:
            read = hidden[:, 0]
        logits: Tensor = self.head(read)
        return logits


class OwnClassifier(nn.Module):
    """A model's own `…ForSequenceClassification`."""

    def __init__(self, classifier: nn.Module, family: Family, config: PretrainedConfig) -> None:
        """Wraps the model of that `config`."""
        super().__init__()
        self.classifier = classifier
        self._family = family
        self._padding_id: int = config.pad_token_id

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """int64 N×T each → logits N×classes.

        Positions with attention_mask 0 have no effect if they hold the padding token.
        """
        inputs = self._family.inputs(input_ids, attention_mask, token_type_ids, self._padding_id)
        logits: Tensor = self.classifier(**inputs).logits
        return logits


@from_pretrained
def pretrained_classifier(name: str, wanted: Wanted) -> nn.Module:
    """The first layers of the model `name` (hub or folder) in float32, in training mode.

    The linear head is new; the model's own is taken from `name` if it has one of that size.
    """
    family = FAMILIES[wanted.kind]
    config = load_config(name, wanted.kind)
    config.num_hidden_layers = keep_layers(config.num_hidden_layers, wanted.layers, name)
    positions = config.max_position_embeddings
    if family.offset_positions:
        positions -= config.pad_token_id + 1
    if wanted.max_tokens > positions:
        raise UserError(
            f"task.max_tokens is {wanted.max_tokens}, but '{name}' has only {positions} positions"
        )
    if wanted.vocabulary > config.vocab_size:
        raise UserError(
            f"model.tokenizer has a vocabulary of {wanted.vocabulary}, but '{name}' knows only "
            f"{config.vocab_size} tokens"
        )
    if wanted.dropout is not None:
        _set_dropout(config, family, wanted.dropout)
    if family.reads_last:
        _mark_padding(config, wanted.padding_id)
    # from_pretrained leaves the model in evaluation mode, which a new head is not in.
    if wanted.head == "own":
        config.num_labels = wanted.classes
        model = load_model(family.classifier, name, config, may_be_new=family.own_head)
        return OwnClassifier(model, family, config).train()
    encoder = load_model(family.encoder, name, config, **family.encoder_arguments)
    return LinearClassifier(encoder, family, config, wanted.classes).train()


def new_classifier(width: int, heads: int, wanted: Wanted) -> nn.Module:
    """A classifier from scratch; the MLPs are four times as wide as the stream."""
    require_divisible(width, heads)
    family = FAMILIES[wanted.kind]
    positions = wanted.max_tokens
    if family.offset_positions:
        positions += wanted.padding_id + 1
    config = family.config(
        vocab_size=wanted.vocabulary,
        pad_token_id=wanted.padding_id,
        hidden_size=width,
        num_hidden_layers=LAYERS_FROM_SCRATCH if wanted.layers is None else wanted.layers,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        **{family.hidden_width: 4 * width},
    )
    _set_dropout(config, family, DROPOUT_FROM_SCRATCH if wanted.dropout is None else wanted.dropout)
    if family.reads_last:
        _mark_padding(config, wanted.padding_id)
    with quiet():
        if wanted.head == "own":
            config.num_labels = wanted.classes
            return OwnClassifier(_build(family.classifier, config), family, config)
        encoder = _build(family.encoder, config, **family.encoder_arguments)
        return LinearClassifier(encoder, family, config, wanted.classes)


def _build(cls: Any, config: PretrainedConfig, **constructor_arguments: bool) -> nn.Module:
    model: nn.Module = cls(config, **constructor_arguments)
    return model


def _set_dropout(config: PretrainedConfig, family: Family, dropout: float) -> None:
    for name in family.dropouts:
        setattr(config, name, dropout)


def _mark_padding(config: PretrainedConfig, padding_id: int) -> None:
    """For a language model, which was made without padding; there is nothing to generate here."""
    config.pad_token_id = padding_id
    config.bos_token_id = config.eos_token_id = padding_id
    config.use_cache = False
