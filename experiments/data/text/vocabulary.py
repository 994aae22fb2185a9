"""Vocabularies: texts as tokens, by a tokenizer of Hugging Face or byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experiments.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTES = 256


class Vocabulary:
    """A tokenizer's tokens, 0 … size-1, and its marks."""

    size: int
    identity: str  # equal for equal tokenizers
    end: int | None = None  # the mark after a document
    mask: int | None = None  # the token shown in place of a hidden one
    padding: int | None = None
    before: tuple[int, ...] = ()  # the marks before a text for BERT …
    after: tuple[int, ...] = ()  # … and after it

    def encode(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        """The tokens of each text, without any marks."""
        raise NotImplementedError


def token_dtype(size: int) -> DTypeLike:
    """The smallest unsigned integers that hold the tokens of a vocabulary of `size`."""
    return np.min_scalar_type(size - 1)


class ByteVocabulary(Vocabulary):
    """UTF-8's bytes. The marks are bytes that UTF-8 never has."""

    size = BYTES
    identity = "bytes"
    end = 0xFF
    mask = 0xFE

    def encode(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        return [np.frombuffer(text.encode(), np.uint8) for text in texts]


class TokenizerVocabulary(Vocabulary):
    """A fast tokenizer. The names of marks within a text are text, as in GPT-2's training."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        """`name` is for messages; raises `UserError` for a tokenizer without `tokenizer.json`."""
        if not tokenizer.is_fast:
            raise UserError(f"tokenizer '{name}' is not a fast one (tokenizer.json)")
        self._tokenizer = tokenizer
        self.size = len(tokenizer)
        description = tokenizer.backend_tokenizer.to_str()
        self.identity = hashlib.sha256(description.encode()).hexdigest()
        self.mask = tokenizer.mask_token_id
        self.padding = tokenizer.pad_token_id
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.before = () if first is None else (first,)
        self.after = () if last is None else (last,)
        self.end = last if tokenizer.eos_token_id is None else tokenizer.eos_token_id

    def encode(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return [np.array(ids, token_dtype(self.size)) for ids in encoded]
