"""BERT for masked language modelling: BERT's own head, at the hidden positions only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM

from experiments.models.families import new_config, pretrained_config
from experiments.models.pretrained import load_model, loading_errors, quiet


class MaskedBert(nn.Module):
    """A `BertForMaskedLM` that gives logits at the predicted positions."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """int64 N×T and, with the predicted positions, N×K → logits N×K×vocabulary."""
        model: Any = self.language_model
        hidden = model.bert(input_ids=input_ids).last_hidden_state
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        logits: Tensor = model.cls(hidden[rows, positions])
        return logits


def masked_bert(
    name: str | None,
    *,
    vocabulary: int,
    padding_id: int | None,
    block: int,
    layers: int | None,
    dropout: float | None,
    **shape: int,
) -> MaskedBert:
    """The first `layers` layers of BERT `name` (hub or folder) and its own head, in float32.

    `vocabulary` and `padding_id` are the tokenizer's. `layers` None: all; `dropout` None: as in the
    pretrained config. `name` None: from scratch, with the `width` and the `heads` of `shape` and
    `block` positions; then None is 12 layers and a dropout of 0.1.
    """
    if name is None:
        sizes: dict[str, Any] = {"layers": layers, "dropout": dropout, **shape}
        config = new_config(
            "bert", vocabulary=vocabulary, padding_id=padding_id, positions=block, **sizes
        )
        with quiet():
            return MaskedBert(BertForMaskedLM(config))
    with loading_errors(name):
        positions, tokens = ("task.block", block), ("task.tokenizer", vocabulary)
        config = pretrained_config(name, "bert", positions, tokens, layers, dropout)
        return MaskedBert(load_model(BertForMaskedLM, name, config)).train()
