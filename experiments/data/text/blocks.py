"""Blocks of a long array of tokens, for causal and for masked language modelling."""

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

# BERT's shares: of a block's tokens that are predicted, and of these the shares that are shown as
# the mask token and as a token drawn from the whole vocabulary; the rest is shown unchanged.
MASKED_SHARE = 0.15
SHOWN_AS_MASK = 0.8
SHOWN_AS_RANDOM = 0.1


@dataclass(frozen=True)
class Tokens:
    """The tokens `start` … `stop-1` of the array that `open` returns.

    A file's array is memory-mapped, and opened for every batch, which costs microseconds: an object
    that held the map would send all of it to a worker process.
    """

    open: Callable[[], NDArray[Any]]
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def split(self, share: float) -> tuple[Tokens, Tokens]:
        """All but the last `share` of the tokens, which is rounded down, and that share."""
        cut = self.stop - int(len(self) * share)
        return Tokens(self.open, self.start, cut), Tokens(self.open, cut, self.stop)

    def rows(self, first: Tensor, length: int) -> Tensor:
        """int64 N×`length`: the tokens from each of the places `first` (int64 N) on."""
        places = self.start + first.numpy()[:, None] + np.arange(length)
        return torch.from_numpy(self.open()[places].astype(np.int64))

    def contents(self) -> Iterator[Part]:
        return contents_of_array(self.open()[self.start : self.stop])


class _Blocks:
    """`count` blocks of some tokens; raises `UserError` where there is not one."""

    def __init__(self, tokens: Tokens, block: int, count: int) -> None:
        if count < 1:
            raise UserError(
                f"task.block is {block}, too large: "
                f"a part of the text has only {len(tokens)} tokens"
            )
        self._tokens, self._count = tokens, count

    def __len__(self) -> int:
        return self._count

    def contents(self) -> Iterator[Part]:
        return self._tokens.contents()


class CausalBlocks(_Blocks):
    """Block i is the tokens i·block … (i+1)·block-1; each predicts the token after it.

    So every token but the very first is predicted once, and an incomplete block at the end is
    dropped. Batch keys, both int64 N×block: `input_ids`; `labels`, the tokens one place further on.
    """

    def __init__(self, tokens: Tokens, block: int) -> None:
        self._block = block
        super().__init__(tokens, block, (len(tokens) - 1) // block)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        rows = self._tokens.rows(indices * self._block, self._block + 1)
        return {"input_ids": rows[:, :-1], "labels": rows[:, 1:]}


class MaskedBlocks(_Blocks):
    """Blocks of which some tokens are hidden and predicted, as BERT was trained.

    A block of T tokens holds those that the vocabulary puts around a text ([CLS] and [SEP]) and,
    between them, consecutive tokens of the text; the blocks' texts do not overlap and an incomplete
    one is dropped. Of a text's tokens 15 % are predicted, rounded, at least one: the same number K
    in every block. Batch keys: `input_ids`, int64 N×T, with the tokens hidden; `positions`, int64
    N×K, where they are, ascending; `labels`, int64 N×K, what they are.
    """

    def __init__(self, tokens: Tokens, block: int, vocabulary: Vocabulary) -> None:
        self._mask = mask_token(vocabulary)
        self._size = vocabulary.size
        self._before = torch.tensor(vocabulary.before, dtype=torch.int64)
        self._after = torch.tensor(vocabulary.after, dtype=torch.int64)
        self._text = block - len(vocabulary.before) - len(vocabulary.after)
        if self._text < 1:
            raise UserError(f"task.block is {block}, which leaves no place for text")
        self._predicted = max(1, round(MASKED_SHARE * self._text))
        super().__init__(tokens, block, len(tokens) // self._text)

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
        before, after = (mark.expand(len(text), -1) for mark in (self._before, self._after))
        return {
            "input_ids": torch.cat([before, text.scatter(1, chosen, shown), after], dim=1),
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
    """The token shown in place of a hidden one; `UserError` where the vocabulary has none."""
    if vocabulary.mask is None:
        raise UserError("task.tokenizer has no mask token, which masked language modelling needs")
    return vocabulary.mask
