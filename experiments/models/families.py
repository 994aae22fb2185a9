"""BERT, RoBERTa, DistilBERT and GPT-2, sized to the data: from scratch or pretrained."""

from __future__ import annotations

from typing import Literal

from transformers import AutoConfig, PretrainedConfig

from experiments.errors import UserError
from experiments.models.layers import require_divisible
from experiments.models.pretrained import load_config

Kind = Literal["bert", "roberta", "distilbert", "gpt2"]

# The names of dropout in the configs of BERT and RoBERTa, of DistilBERT, and of GPT-2.
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    *("dropout", "attention_dropout", "seq_classif_dropout"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop"),
)


def new_config(
    kind: Kind,
    *,
    vocabulary: int,
    padding_id: int | None,
    positions: int,
    width: int,
    layers: int | None,
    heads: int,
    dropout: float | None,
) -> PretrainedConfig:
    """The config of a model from scratch; its MLPs are four times as wide as the stream.

    `layers` None: 12; `dropout` None: 0.1.
    """
    require_divisible(width, heads)
    if kind == "roberta":
        # It counts positions from padding's id plus one.
        positions += (padding_id or 0) + 1
    mlp = {"distilbert": "hidden_dim", "gpt2": "n_inner"}.get(kind, "intermediate_size")
    # For generating text only; GPT-2's own lie outside a small vocabulary, which is logged.
    unused = {"bos_token_id": None, "eos_token_id": None} if kind == "gpt2" else {}
    config = AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        pad_token_id=padding_id,
        hidden_size=width,
        num_hidden_layers=layers or 12,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        **{mlp: 4 * width},
        **unused,
    )
    _set_dropout(config, 0.1 if dropout is None else dropout)
    return config


def pretrained_config(
    name: str,
    kind: Kind,
    positions: tuple[str, int],
    vocabulary: tuple[str, int],
    layers: int | None,
    dropout: float | None,
) -> PretrainedConfig:
    """The config of the pretrained model `name` with its first `layers` layers; None: all.

    `dropout` None: as in the pretrained config. `positions` and `vocabulary` are the keys and the
    values of the data's sizes. Raises `UserError` for a model that is too small for them.
    """
    config = load_config(name, kind)
    offset = config.pad_token_id + 1 if kind == "roberta" else 0
    for key, wanted, available, things in (
        ("model.layers", layers or 0, config.num_hidden_layers, "layers"),
        (*positions, config.max_position_embeddings - offset, "positions"),
    ):
        if wanted > available:
            raise UserError(f"{key} is {wanted}, but '{name}' has only {available} {things}")
    key, size = vocabulary
    if size > config.vocab_size:
        raise UserError(
            f"{key} has a vocabulary of {size}, but '{name}' knows only {config.vocab_size} tokens"
        )
    config.num_hidden_layers = layers or config.num_hidden_layers
    if dropout is not None:
        _set_dropout(config, dropout)
    return config


def _set_dropout(config: PretrainedConfig, dropout: float) -> None:
    for name in _DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)
