"""The text of Python's own manual, which every Python carries, as blocks of bytes."""

from __future__ import annotations

import pydoc_data.topics

import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.errors import UserError

VOCABULARY = 256


class ByteBlocks:
    """Non-overlapping blocks of bytes; each byte but a block's last predicts the next one.

    Batch keys, both int64 N×block: `input_ids`; `labels`, the same bytes one place further on.
    """

    def __init__(self, text: bytes, block: int) -> None:
        """Cuts `text` into blocks of `block + 1` bytes; what is left at the end is dropped."""
        count = len(text) // (block + 1)
        if count == 0:
            raise UserError(
                f"task.block is {block}, too large: a part of the text has only {len(text)} bytes"
            )
        used = torch.frombuffer(bytearray(text), dtype=torch.uint8)[: count * (block + 1)]
        self._blocks = used.view(count, block + 1)

    def __len__(self) -> int:
        """The number of blocks."""
        return len(self._blocks)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """The blocks `indices`; nothing is random, `generator` is not used."""
        del generator
        blocks = self._blocks[indices].long()
        return {"input_ids": blocks[:, :-1], "labels": blocks[:, 1:]}


def manual_text() -> bytes:
    """`pydoc_data.topics`, sorted by the topics' names; it differs between versions of Python."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def byte_text(block: int) -> tuple[ByteBlocks, ByteBlocks]:
    """Training and validation; the last tenth of the text is validation."""
    text = manual_text()
    cut = len(text) - len(text) // 10
    return ByteBlocks(text[:cut], block), ByteBlocks(text[cut:], block)
