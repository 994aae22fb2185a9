"""The text of Python's own manual, which every Python carries, as blocks of bytes."""

from __future__ import annotations

import functools
import pydoc_data.topics

import numpy as np
from numpy.typing import NDArray

from experiments.data.text.blocks import CausalBlocks, Tokens


def manual_text() -> bytes:
    """`pydoc_data.topics`, sorted by the topics' names; it differs between versions of Python."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def byte_text(block: int) -> tuple[CausalBlocks, CausalBlocks]:
    """Training and validation; the last tenth of the text is validation."""
    train, validation = Tokens(_manual, 0, len(_manual())).split(0.1)
    return CausalBlocks(train, block), CausalBlocks(validation, block)


@functools.cache
def _manual() -> NDArray[np.uint8]:
    return np.frombuffer(manual_text(), np.uint8)
