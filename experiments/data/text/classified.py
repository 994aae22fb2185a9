"""Labelled texts in padded batches, tokenised once: their tokens are kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from experiments.data.base import Batch
from experiments.data.contents import Part, contents_of_array
from experiments.files.atomic import DiskError, atomic_file, disk

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Arrays = dict[str, np.ndarray]
"""`lengths`, int32 N, and for each key of the tokenizer's answer the rows of all texts one after
the other, int32. Flat, since a list for each text is slow to save and to send to a process."""

TEXTS_AT_ONCE = 10_000
"""The tokenizer's own answer takes a hundred times the memory of the arrays."""

log = logging.getLogger(__name__)


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
        """The arguments but `labels` are those of `tokens_of`."""
        self.labels = torch.tensor(labels)  # int64 of ints, float32 of floats
        arrays = tokens_of(texts, tokenizer, max_tokens, cache)
        self._tokens = {key: torch.from_numpy(array) for key, array in arrays.items()}
        self.lengths = self._tokens.pop("lengths").long()
        self._starts = self.lengths.cumsum(0) - self.lengths
        self._padding = {
            "input_ids": tokenizer.pad_token_id,
            "token_type_ids": tokenizer.pad_token_type_id,
        }

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
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


def tokens_of(
    texts: Sequence[tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    cache: Path | None = None,
) -> Arrays:
    """The tokens of `texts`, all singles or all pairs; longer ones are cut to `max_tokens`.

    They are read from the folder `cache`, or computed and kept there, in a file named after the
    texts, the tokenizer and `max_tokens`. With None, or a folder that cannot be written (which a
    warning reports), nothing is kept. A broken file is replaced.
    """
    digest = None if cache is None else _digest(texts, tokenizer, max_tokens)
    if cache is None or digest is None:
        return _tokenise(texts, tokenizer, max_tokens)
    path = cache / f"tokens-{digest}.npz"
    # numpy's errors for a missing, a torn and a foreign file.
    with (
        suppress(OSError, ValueError, EOFError, zipfile.BadZipFile),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        return dict(stored)
    tokens = _tokenise(texts, tokenizer, max_tokens)
    try:
        with disk(cache):
            cache.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as new:
            np.savez(new, **tokens)  # type: ignore[arg-type]
    except DiskError as error:
        log.warning(
            "the tokens are not kept for the next run: %s (%s); set cache_dir to a folder that "
            "can be written",
            cache,
            error.reason,
        )
    return tokens


def _tokenise(
    texts: Sequence[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Arrays:
    parts: list[Arrays] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        encoded = tokenizer(
            *map(list, zip(*texts[start : start + TEXTS_AT_ONCE], strict=True)),
            truncation=True,
            max_length=max_tokens,
            return_attention_mask=False,
        )
        parts.append({"lengths": np.array([len(ids) for ids in encoded["input_ids"]], np.int32)})
        for key, rows in encoded.items():
            parts[-1][key] = np.fromiter(chain.from_iterable(rows), np.int32)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _digest(
    texts: Sequence[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> str | None:
    """40 hexadecimal digits for all that decides the tokens; None: the tokenizer hides its part."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    import tokenizers
    import transformers

    state = json.loads(backend.to_str())
    # Leftovers of the last call, which the next one sets again.
    state["truncation"] = state["padding"] = None
    settings = {
        "format": "1",
        "versions": [transformers.__version__, tokenizers.__version__],
        "class": type(tokenizer).__name__,
        "truncation_side": tokenizer.truncation_side,
        "keys": tokenizer.model_input_names,
        "max_tokens": max_tokens,
        "state": state,
    }
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=20)
    for example in texts:
        # The lengths say where a text ends, so that no two lists of texts read alike.
        encoded = [text.encode("utf-8", "surrogatepass") for text in example]
        digest.update(f"\n{[len(text) for text in encoded]}".encode())
        digest.update(b"".join(encoded))
    return digest.hexdigest()


def read_as_bytes(texts: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """`texts` as Python shows their UTF-8 bytes, `b'…'`: a quirk of the authors' harness."""
    return [tuple(str(part.encode()) for part in text) for text in texts]


def marked_for_causal(texts: Sequence[tuple[str, ...]], end: str) -> list[tuple[str, ...]]:
    """`texts` for a tokenizer that marks nothing: `end` stands before a second and in an empty one.

    A pair would otherwise run together, and an empty text would have no token to predict at.
    """
    return [(text[0] or end, *(end + second for second in text[1:])) for text in texts]
