"""BERT for masked language modelling: BERT's own head, at the hidden positions only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM

from experiments.models.families import language_model


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


def masked_bert(name: str | None, **sizes: Any) -> MaskedBert:
    """BERT of these sizes, which are those of `language_model`, with its own head."""
    return MaskedBert(language_model(BertForMaskedLM, "bert", name, **sizes))
