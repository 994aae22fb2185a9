"""GPT-2 as a language model, on byte pairs or on bytes: from scratch or pretrained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from experiments.errors import UserError
from experiments.models.families import language_model

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
