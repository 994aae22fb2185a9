"""GPT-2 as a language model, on byte pairs or on bytes: from scratch or pretrained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from experiments.errors import UserError
from experiments.models.families import new_config, pretrained_config
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


def gpt2(
    name: str | None,
    *,
    vocabulary: int,
    block: int,
    layers: int | None,
    dropout: float,
    **shape: int,
) -> GPT2:
    """The first `layers` layers of GPT-2 `name` (hub or folder) in float32; None: all.

    `name` None: from scratch, with the `width` and the `heads` of `shape`, `block` positions and,
    for `layers` None, 12 layers. `vocabulary` is the number of the data's tokens. If they are bytes
    and the model's are byte pairs, only the embeddings of the 256 single bytes are kept.
    """
    if name is None:
        sizes: dict[str, Any] = {"layers": layers, "dropout": dropout, **shape}
        config = new_config(
            "gpt2", vocabulary=vocabulary, padding_id=None, positions=block, **sizes
        )
        config.use_cache = False
        # For generating text only.
        config.bos_token_id = config.eos_token_id = None
        with quiet():
            return GPT2(GPT2LMHeadModel(config))
    with loading_errors(name):
        positions, tokens = ("task.block", block), ("task.tokenizer", vocabulary)
        config = pretrained_config(name, "gpt2", positions, tokens, layers, dropout)
        cut = vocabulary == BYTES != config.vocab_size
        if cut and config.vocab_size != 50257:
            raise UserError(
                f"model.name: '{name}' has a vocabulary of {config.vocab_size}; bytes need GPT-2's "
                f"own, 50257, or {BYTES}"
            )
        config.use_cache = False
        model = load_model(GPT2LMHeadModel, name, config)
        if cut:
            _keep_bytes(model)
        return GPT2(model).train()


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
