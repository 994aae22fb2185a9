"""BERT, RoBERTa, DistilBERT and GPT-2: their differences, and configs that fit the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import AutoConfig, PretrainedConfig

from experiments.errors import UserError
from experiments.models.layers import require_divisible
from experiments.models.pretrained import load_config, quiet

Kind = Literal["bert", "roberta", "distilbert", "gpt2"]

LAYERS_FROM_SCRATCH = 12
DROPOUT_FROM_SCRATCH = 0.1


@dataclass(frozen=True)
class Family:
    """The differences between the kinds.

    `dropouts` and `hidden_width` are names in the config. `own_head` are the beginnings of the
    names of the weights that only the own head has. `reads_last`: the prediction is made at the
    last token, not the first. `offset_positions`: positions count from padding's id plus one.
    """

    own_head: tuple[str, ...] = ("classifier.",)
    dropouts: tuple[str, ...] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
    )
    hidden_width: str = "intermediate_size"
    has_pooler: bool = True
    takes_types: bool = False
    reads_last: bool = False
    offset_positions: bool = False


FAMILIES: dict[Kind, Family] = {
    "bert": Family(takes_types=True),
    "roberta": Family(offset_positions=True),
    "distilbert": Family(
        own_head=("pre_classifier.", "classifier."),
        dropouts=("dropout", "attention_dropout", "seq_classif_dropout"),
        hidden_width="hidden_dim",
        has_pooler=False,
    ),
    "gpt2": Family(
        own_head=("score.",),
        dropouts=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        hidden_width="n_inner",
        has_pooler=False,
        reads_last=True,
    ),
}


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
    family = FAMILIES[kind]
    if family.offset_positions:
        positions += (padding_id or 0) + 1
    # GPT-2's ids for generating text lie outside a small vocabulary, which transformers logs.
    with quiet():
        config = AutoConfig.for_model(
            kind,
            vocab_size=vocabulary,
            pad_token_id=padding_id,
            hidden_size=width,
            num_hidden_layers=LAYERS_FROM_SCRATCH if layers is None else layers,
            num_attention_heads=heads,
            max_position_embeddings=positions,
            **{family.hidden_width: 4 * width},
        )
    _set_dropout(config, family, DROPOUT_FROM_SCRATCH if dropout is None else dropout)
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
    family = FAMILIES[kind]
    config = load_config(name, kind)
    available = config.num_hidden_layers
    if layers is not None:
        if layers > available:
            raise UserError(f"model.layers is {layers}, but '{name}' has only {available} layers")
        config.num_hidden_layers = layers
    available = config.max_position_embeddings
    if family.offset_positions:
        available -= config.pad_token_id + 1
    key, needed = positions
    if needed > available:
        raise UserError(f"{key} is {needed}, but '{name}' has only {available} positions")
    key, needed = vocabulary
    if needed > config.vocab_size:
        raise UserError(
            f"{key} has a vocabulary of {needed}, but '{name}' knows only "
            f"{config.vocab_size} tokens"
        )
    if dropout is not None:
        _set_dropout(config, family, dropout)
    return config


def _set_dropout(config: PretrainedConfig, family: Family, dropout: float) -> None:
    for name in family.dropouts:
        setattr(config, name, dropout)
