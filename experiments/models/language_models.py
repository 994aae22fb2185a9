"""Language models, from scratch or pretrained: GPT-2, and BERT with its own head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM, GPT2LMHeadModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from experiments.errors import UserError
from experiments.models.families import Kind, new_config, pretrained_config
from experiments.models.pretrained import load_model, loading_errors, quiet

BYTES = 256


class GPT2(nn.Module):
    """A `GPT2LMHeadModel` that gives logits."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor) -> Tensor:
        """int64 N×T → logits N×T×vocabulary; those at t see the tokens up to t, predict t+1."""
        logits: Tensor = self.language_model(input_ids=input_ids, use_cache=False).logits
        return logits


def gpt2(name: str | None, *, vocabulary: int, **sizes: Any) -> GPT2:
    """GPT-2 of these sizes, which are those of `language_model`.

    If the `vocabulary` is that of bytes and the model `name` has byte pairs, only the embeddings of
    the 256 single bytes are kept.
    """
    model = language_model(GPT2LMHeadModel, "gpt2", name, vocabulary=vocabulary, **sizes)
    theirs = model.config.vocab_size
    if vocabulary == BYTES != theirs:
        if theirs != 50257:
            raise UserError(
                f"model.name: '{name}' has a vocabulary of {theirs}; bytes need GPT-2's own, "
                f"50257, or {BYTES}"
            )
        _keep_bytes(model)
    return GPT2(model)


def byte_token_ids() -> list[int]:
    """GPT-2's token for each byte 0…255; its first 256 tokens are the single bytes."""
    token_of = {byte: token for token, byte in enumerate(bytes_to_unicode())}
    return [token_of[byte] for byte in range(BYTES)]


def _keep_bytes(model: GPT2LMHeadModel) -> None:
    """Cut the embeddings to the single bytes, in the order of the bytes."""
    weight = model.get_input_embeddings().weight
    kept = weight.detach()[byte_token_ids()].clone()
    model.resize_token_embeddings(BYTES)
    with torch.no_grad():
        # The output layer shares this tensor.
        model.get_input_embeddings().weight.copy_(kept)
    model.config.bos_token_id = model.config.eos_token_id = None


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


def language_model(
    cls: Any,
    kind: Kind,
    name: str | None,
    *,
    vocabulary: int,
    padding_id: int | None = None,
    block: int,
    layers: int | None,
    dropout: float | None,
    **shape: int,
) -> Any:
    """The model of class `cls` with the first `layers` layers of `name` (hub or folder).

    `name` None: from scratch, with the `width` and the `heads` of `shape` and `block` positions.
    `layers` None: all, or 12 from scratch; `dropout` None: as pretrained, or 0.1 from scratch.
    `vocabulary` and `padding_id` are the data's. The weights are float32.
    """
    if name is None:
        sizes: dict[str, Any] = {"layers": layers, "dropout": dropout, **shape}
        config = new_config(
            kind, vocabulary=vocabulary, padding_id=padding_id, positions=block, **sizes
        )
        with quiet():
            return cls(config)
    positions, tokens = ("task.block", block), ("task.tokenizer", vocabulary)
    with loading_errors(name):
        config = pretrained_config(name, kind, positions, tokens, layers, dropout)
        return load_model(cls, name, config).train()
