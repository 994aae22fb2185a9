"""BERT for classification: the first position of the last hidden state, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import BertConfig, BertModel

from experiments.errors import UserError
from experiments.models.pretrained import keep_layers, load_config, load_model, quiet

LAYERS_FROM_SCRATCH = 12


class BertClassifier(nn.Module):
    """A `BertModel` without its pooling layer, and a linear layer on the first position."""

    def __init__(self, encoder: nn.Module, config: BertConfig, classes: int) -> None:
        """The linear layer is initialised as BERT's own: N(0, initializer_range²), bias zero."""
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.head.weight, std=config.initializer_range)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """int64 N×T each → logits N×classes; positions with attention_mask 0 have no effect."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        logits: Tensor = self.head(hidden[:, 0])
        return logits


def pretrained_bert(
    name: str,
    *,
    vocabulary: int,
    layers: int | None,
    dropout: float | None,
    max_tokens: int,
    classes: int,
) -> BertClassifier:
    """The first `layers` layers of BERT `name` (hub or folder) in float32, and a new head.

    `vocabulary` is the tokenizer's. Null `layers`: all; null `dropout`: as the pretrained config
    says.
    """
    config = load_config(name, "bert")
    config.num_hidden_layers = keep_layers(config.num_hidden_layers, layers, name)
    if max_tokens > config.max_position_embeddings:
        raise UserError(
            f"task.max_tokens is {max_tokens}, but '{name}' has only "
            f"{config.max_position_embeddings} positions"
        )
    if vocabulary > config.vocab_size:
        raise UserError(
            f"model.tokenizer has a vocabulary of {vocabulary}, but '{name}' knows only "
            f"{config.vocab_size} tokens"
        )
    if dropout is not None:
        config.hidden_dropout_prob = dropout
        config.attention_probs_dropout_prob = dropout
    encoder = load_model(BertModel, name, config, add_pooling_layer=False)
    # from_pretrained leaves the model in evaluation mode, which the new head is not in.
    return BertClassifier(encoder, config, classes).train()


def new_bert(
    *,
    vocabulary: int,
    padding_id: int,
    width: int,
    layers: int | None,
    heads: int,
    dropout: float | None,
    max_tokens: int,
    classes: int,
) -> BertClassifier:
    """BERT from scratch; the MLPs are four times as wide as the stream.

    Null `layers`: 12; null `dropout`: 0.1, as in BERT.
    """
    if width % heads:
        raise UserError(f"model.heads is {heads}; it must divide model.width, {width}")
    dropout = 0.1 if dropout is None else dropout
    config = BertConfig(
        vocab_size=vocabulary,
        pad_token_id=padding_id,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=LAYERS_FROM_SCRATCH if layers is None else layers,
        num_attention_heads=heads,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=max_tokens,
    )
    with quiet():
        return BertClassifier(BertModel(config, add_pooling_layer=False), config, classes)
