"""Texts as arrays of token ids, computed once and kept on disk by their content."""

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

Tokens = dict[str, np.ndarray]
"""`lengths`, int32 N, and for each key of the tokenizer's answer the rows of all texts one after
the other, int32. Flat, since a list for each text is slow to save and to send to a process."""

FORMAT = "1"

TEXTS_AT_ONCE = 10_000
"""The tokenizer's own answer takes a hundred times the memory of the arrays."""

BROKEN_FILE_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile)
"""What numpy raises for a file that is missing, cut short or of something else."""

log = logging.getLogger(__name__)


def tokens_of(
    texts: Sequence[tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    cache: Path | None = None,
) -> Tokens:
    """The tokens of `texts`, all singles or all pairs; longer ones are cut to `max_tokens`.

    They are read from the folder `cache` if they were computed before, else computed and left
    there, in a file named after the texts, the tokenizer and `max_tokens`. None, or a folder that
    cannot be written (which a warning tells), is no cache. A broken file is computed anew.
    """
    identity = None if cache is None else _identity(tokenizer, max_tokens)
    if cache is None or identity is None:
        return _tokenise(texts, tokenizer, max_tokens)
    path = cache / f"tokens-{_digest(identity, texts)}.npz"
    with (
        suppress(*BROKEN_FILE_ERRORS),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        return dict(stored)
    tokens = _tokenise(texts, tokenizer, max_tokens)
    try:
        _save(path, tokens)
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
) -> Tokens:
    parts = [
        _tokenise_part(texts[start : start + TEXTS_AT_ONCE], tokenizer, max_tokens)
        for start in range(0, len(texts), TEXTS_AT_ONCE)
    ]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _tokenise_part(
    texts: Sequence[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Tokens:
    encoded = tokenizer(
        *(list(column) for column in zip(*texts, strict=True)),
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
    )
    lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int32)
    flat = {
        key: np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum()))
        for key, rows in encoded.items()
    }
    return {"lengths": lengths, **flat}


def _identity(tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str | None:
    """All that decides what the tokenizer makes of a text; None where that cannot be read off."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    import tokenizers
    import transformers

    state = json.loads(backend.to_str())
    # Left behind by the last call and set again by the next one.
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


def _save(path: Path, tokens: Tokens) -> None:
    with disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez(file, **tokens)  # type: ignore[arg-type]
