"""Blocks of a long array of tokens, for causal and for masked language modelling.

The array is memory-mapped where it is a file; a batch reads its own rows and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.data.base import Batch
from experiments.data.contents import Part, contents_of_array
from experiments.data.text.vocabulary import Vocabulary
from experiments.errors import UserError

MASKED_SHARE = 0.15
"""BERT's: the share of a block's tokens that is to be predicted …"""
SHOWN_AS_MASK = 0.8
"""… of which this share is shown as the mask token …"""
SHOWN_AS_RANDOM = 0.1
"""… and this share as a token drawn from the whole vocabulary; the rest is shown as it is."""


@dataclass(frozen=True)
class Tokens:
    """The tokens `start` … `stop-1` of the array that `open` gives.

    The array is opened for every batch, which costs microseconds: an object that held a memory
    map would send the whole of it to a worker process.
    """

    open: Callable[[], NDArray[Any]]
    start: int
    stop: int

    def __len__(self) -> int:
        """The number of tokens."""
        return self.stop - self.start

    def split(self, share: float) -> tuple[Tokens, Tokens]:
        """All but the last `share` of the tokens, rounded down, and that share."""
        cut = self.stop - int(len(self) * share)
        return Tokens(self.open, self.start, cut), Tokens(self.open, cut, self.stop)

    def rows(self, first: Tensor, length: int) -> Tensor:
        """int64 N×`length`: the tokens from each of the places `first` (int64 N) on."""
        places = self.start + first.numpy()[:, None] + np.arange(length)
        return torch.from_numpy(self.open()[places].astype(np.int64))

    def contents(self) -> Iterator[Part]:
        """The tokens, or some of very many."""
        return contents_of_array(self.open()[self.start : self.stop])


class CausalBlocks:
    """Block i is the tokens i·block … (i+1)·block-1; each predicts the token after it.

    So every token but the very first is predicted once, and an incomplete block at the end is
    dropped. Batch keys, both int64 N×block: `input_ids`; `labels`, the tokens one place further on.
    """

    def __init__(self, tokens: Tokens, block: int) -> None:
        """The blocks of `tokens`; raises `UserError` where there is not one."""
        self._tokens = tokens
        self._block = block
        self._count = (len(tokens) - 1) // block
        _require_one(self._count, block, tokens)

    def __len__(self) -> int:
        """The number of blocks."""
        return self._count

    def contents(self) -> Iterator[Part]:
        """The tokens that the blocks are cut from."""
        return self._tokens.contents()

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The blocks `indices`; nothing is random, `generator` is not used."""
        del generator
        rows = self._tokens.rows(indices * self._block, self._block + 1)
        return {"input_ids": rows[:, :-1], "labels": rows[:, 1:]}


class MaskedBlocks:
    """Blocks of which some tokens are hidden and predicted, as BERT was trained.

    A block of T tokens holds those that the vocabulary puts around a text ([CLS] and [SEP]) and,
    between them, consecutive tokens of the text; the blocks' texts do not overlap and an incomplete
    one is dropped. Of a text's tokens 15 % are predicted, rounded, at least one: the same number K
    in every block. Batch keys: `input_ids`, int64 N×T, with the tokens hidden; `positions`, int64
    N×K, where they are, ascending; `labels`, int64 N×K, what they are.
    """

    def __init__(self, tokens: Tokens, block: int, vocabulary: Vocabulary) -> None:
        """Blocks of `block` tokens each; raises `UserError` where there is not one."""
        self._mask = mask_token(vocabulary)
        self._size = vocabulary.size
        self._before = torch.tensor(vocabulary.before, dtype=torch.int64)
        self._after = torch.tensor(vocabulary.after, dtype=torch.int64)
        self._text = block - len(vocabulary.before) - len(vocabulary.after)
        if self._text < 1:
            raise UserError(f"task.block is {block}, which leaves no place for text")
        self._tokens = tokens
        self._count = len(tokens) // self._text
        self._predicted = max(1, round(MASKED_SHARE * self._text))
        _require_one(self._count, block, tokens)

    def __len__(self) -> int:
        """The number of blocks."""
        return self._count

    def contents(self) -> Iterator[Part]:
        """The tokens that the blocks are cut from."""
        return self._tokens.contents()

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The blocks `indices`; without a generator, what is hidden depends on the index alone."""
        text = self._tokens.rows(indices * self._text, self._text)
        if generator is not None:
            chosen, how, instead = self._draw(len(indices), generator)
        else:
            own = [torch.Generator().manual_seed(index) for index in indices.tolist()]
            drawn = [self._draw(1, generator) for generator in own]
            chosen, how, instead = (torch.cat(part) for part in zip(*drawn, strict=True))
        labels = text.gather(1, chosen)
        shown = torch.where(how < SHOWN_AS_MASK + SHOWN_AS_RANDOM, instead, labels)
        shown = shown.masked_fill(how < SHOWN_AS_MASK, self._mask)
        rows = len(indices)
        inputs = [
            self._before.expand(rows, -1),
            text.scatter(1, chosen, shown),
            self._after.expand(rows, -1),
        ]
        return {
            "input_ids": torch.cat(inputs, dim=1),
            "positions": chosen + len(self._before),
            "labels": labels,
        }

    def _draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """For each of `rows` blocks: K places in the text, a number in [0, 1), a token."""
        order = torch.rand(rows, self._text, generator=generator).argsort(dim=1)
        chosen = order[:, : self._predicted].sort(dim=1).values
        how = torch.rand(rows, self._predicted, generator=generator)
        instead = torch.randint(self._size, (rows, self._predicted), generator=generator)
        return chosen, how, instead


def mask_token(vocabulary: Vocabulary) -> int:
    """What stands for a hidden token; raises `UserError` where the vocabulary has nothing."""
    if vocabulary.mask is None:
        raise UserError("task.tokenizer has no mask token, which masked language modelling needs")
    return vocabulary.mask


def _require_one(count: int, block: int, tokens: Tokens) -> None:
    if count < 1:
        raise UserError(
            f"task.block is {block}, too large: a part of the text has only {len(tokens)} tokens"
        )
