"""Sources of tokenised texts with labels, in padded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.data.contents import Part, contents_of_array
from experiments.data.text.tokens import tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextSource:
    """Texts, or pairs of texts, tokenised once; a batch is padded to its longest member.

    Batch keys: `input_ids`, `attention_mask` (1 at tokens, 0 at padding), `token_type_ids` if the
    tokenizer makes them, all int64 N×T; `labels`, int64 N for classes, float32 N for scores.
    """

    def __init__(
        self,
        texts: Sequence[tuple[str, ...]],
        labels: Sequence[int] | Sequence[float],
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        cache: Path | None = None,
    ) -> None:
        """Tokenises `texts`, all singles or all pairs; longer ones are cut to `max_tokens`.

        `cache` is the folder in which the tokens are kept.
        """
        self.labels = torch.tensor(labels)  # int64 of ints, float32 of floats
        tokens = {
            key: torch.from_numpy(array)
            for key, array in tokens_of(texts, tokenizer, max_tokens, cache).items()
        }
        self.lengths = tokens.pop("lengths").long()
        """The number of tokens of each example, int64 N."""
        self._starts = self.lengths.cumsum(0) - self.lengths
        self._tokens = tokens
        self._padding = {
            "input_ids": tokenizer.pad_token_id,
            "token_type_ids": tokenizer.pad_token_type_id,
        }

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The examples' tokens, padded on the right; nothing is random, `generator` is not used."""
        lengths = self.lengths[indices]
        position = torch.arange(int(lengths.max()))
        mask = position < lengths[:, None]
        where = self._starts[indices][:, None] + position.minimum(lengths[:, None] - 1)
        batch = {
            key: torch.where(mask, tokens[where], self._padding[key]).long()
            for key, tokens in self._tokens.items()
        }
        return batch | {"attention_mask": mask.long(), "labels": self.labels[indices]}

    def contents(self) -> Iterable[Part]:
        yield self.labels
        yield self.lengths
        for tokens in self._tokens.values():
            yield from contents_of_array(tokens.numpy())


def read_as_bytes(texts: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """`texts` as Python shows their UTF-8 bytes, `b'…'`: a quirk of the authors' harness."""
    return [tuple(str(part.encode()) for part in text) for text in texts]


def marked_for_causal(texts: Sequence[tuple[str, ...]], end: str) -> list[tuple[str, ...]]:
    """`texts` for a tokenizer that marks nothing: `end` stands before a second and in an empty one.

    A pair would otherwise run together, and an empty text would have no token to predict at.
    """
    return [(text[0] or end, *(end + second for second in text[1:])) for text in texts]
