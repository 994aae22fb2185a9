"""BERT for masked language modelling: BERT's own head, at the hidden positions only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

from experiments.errors import UserError
from experiments.models.pretrained import (
    from_pretrained,
    keep_layers,
    load_config,
    load_model,
    quiet,
)
from experiments.models.sizes import require_divisible

LAYERS_FROM_SCRATCH = 12


class MaskedBert(nn.Module):
    """A `BertForMaskedLM` that gives logits where they are asked for."""

    def __init__(self, language_model: nn.Module) -> None:
        """Wraps the model."""
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """int64 N×T and, with the positions that are predicted, N×K → logits N×K×vocabulary."""
        model: Any = self.language_model
        hidden = model.bert(input_ids=input_ids).last_hidden_state
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        logits: Tensor = model.cls(hidden[rows, positions])
        return logits


def new_masked_bert(
    *,
    vocabulary: int,
    padding_id: int | None,
    block: int,
    width: int,
    layers: int | None,
    heads: int,
    dropout: float | None,
) -> MaskedBert:
    """BERT from scratch with `block` positions; the MLPs are four times as wide as the stream.

    Null `layers`: 12; null `dropout`: 0.1, as in BERT.
    """
    require_divisible(width, heads)
    config = BertConfig(
        vocab_size=vocabulary,
        pad_token_id=padding_id,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=LAYERS_FROM_SCRATCH if layers is None else layers,
        num_attention_heads=heads,
        max_position_embeddings=block,
    )
    _set_dropout(config, 0.1 if dropout is None else dropout)
    with quiet():
        return MaskedBert(BertForMaskedLM(config))


@from_pretrained
def pretrained_masked_bert(
    name: str, *, vocabulary: int, block: int, layers: int | None, dropout: float | None
) -> MaskedBert:
    """The first `layers` layers of BERT `name` (hub or folder) and its own head, in float32.

    `vocabulary` is the tokenizer's. Null `layers`: all; null `dropout`: as the pretrained config
    says.
    """
    config = load_config(name, "bert")
    config.num_hidden_layers = keep_layers(config.num_hidden_layers, layers, name)
    if block > config.max_position_embeddings:
        raise UserError(
            f"task.block is {block}, but '{name}' has only "
            f"{config.max_position_embeddings} positions"
        )
    if vocabulary > config.vocab_size:
        raise UserError(
            f"task.tokenizer has a vocabulary of {vocabulary}, but '{name}' knows only "
            f"{config.vocab_size} tokens"
        )
    if dropout is not None:
        _set_dropout(config, dropout)
    return MaskedBert(load_model(BertForMaskedLM, name, config)).train()


def _set_dropout(config: BertConfig, dropout: float) -> None:
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
