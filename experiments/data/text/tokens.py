"""Texts as arrays of token ids, computed once and kept on disk by a hash of their content."""

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

from experiments.files.atomic import DiskError, atomic_file, disk

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Arrays = dict[str, np.ndarray]
"""`lengths`, int32 N, and for each key of the tokenizer's answer the rows of all texts one after
the other, int32. Flat, since a list for each text is slow to save and to send to a process."""

FORMAT = "1"

TEXTS_AT_ONCE = 10_000
"""The tokenizer's own answer takes a hundred times the memory of the arrays."""

log = logging.getLogger(__name__)


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
    identity = None if cache is None else _identity(tokenizer, max_tokens)
    if cache is None or identity is None:
        return _tokenise(texts, tokenizer, max_tokens)
    path = cache / f"tokens-{_digest(identity, texts)}.npz"
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


def _identity(tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str | None:
    """All settings that decide a text's tokens; None for a tokenizer that does not show them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    import tokenizers
    import transformers

    state = json.loads(backend.to_str())
    # Leftovers of the last call, which the next one sets again.
    state["truncation"] = state["padding"] = None
    return json.dumps(
        {
            "format": FORMAT,
            "versions": [transformers.__version__, tokenizers.__version__],
            "class": type(tokenizer).__name__,
            "truncation_side": tokenizer.truncation_side,
            "keys": tokenizer.model_input_names,
            "max_tokens": max_tokens,
            "state": state,
        },
        sort_keys=True,
    )


def _digest(identity: str, texts: Iterable[tuple[str, ...]]) -> str:
    """40 hexadecimal digits for the tokenizer and the texts."""
    digest = hashlib.blake2b(identity.encode(), digest_size=20)
    for example in texts:
        # The lengths say where a text ends, so that no two lists of texts read alike.
        encoded = [text.encode("utf-8", "surrogatepass") for text in example]
        digest.update(f"\n{[len(text) for text in encoded]}".encode())
        digest.update(b"".join(encoded))
    return digest.hexdigest()
