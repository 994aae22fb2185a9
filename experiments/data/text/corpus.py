"""Long texts in pieces: a file, or a data set of the hub row by row; never all in memory."""

from __future__ import annotations

import codecs
import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.data.rows import require_text
from experiments.data.text.vocabulary import Vocabulary, token_dtype
from experiments.errors import MissingError, UserError
from experiments.network import SECONDS, within

PIECE_BYTES = 1 << 16
LONGEST_PIECE = 1 << 20
CHARACTERS_AT_ONCE = 1 << 20


def file_pieces(path: Path, size: int = PIECE_BYTES, longest: int = LONGEST_PIECE) -> Iterator[str]:
    """The text of a UTF-8 file, about `size` bytes at a time, each piece but the first from a space
    or a line's end on.

    Joined, the pieces are the text; so are their tokens, for tokenizers that never join a space to
    what stands before it, as GPT-2's and BERT's. Where `longest` characters have no such place they
    are a piece of their own, and the tokens at its ends may be others than the whole text's. Raises
    `UserError` for other encodings.
    """
    kept: list[str] = []
    length = 0
    for text in _decoded_parts(path, size):
        before = kept[-1][-1:] if kept else ""
        place = _last_start_of_space(before + text)
        if place:
            cut = place - len(before)
            yield "".join([*kept, text[:cut]])
            kept, length = [text[cut:]], len(text) - cut
        else:
            kept.append(text)
            length += len(text)
        if length >= longest:
            yield "".join(kept)
            kept, length = [], 0
    if kept:
        yield "".join(kept)


def file_identity(path: Path) -> str:
    """SHA-256 of the file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class HubText:
    """The column `column` of a data set: a name on the hub, or a folder in the hub's layout."""

    name: str
    config: str | None
    revision: str | None
    column: str

    def identity(self) -> dict[str, object]:
        """What the texts depend on: for the hub, names; for a folder, its files, sizes, times."""
        names = {"config": self.config, "revision": self.revision, "column": self.column}
        folder = self._folder()
        if folder is None:
            return {"hub_name": self.name, **names}
        files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
        # What begins with a dot is no data; a cache may be among it.
        shown = [file for file in files if not any(part.startswith(".") for part in file.parts)]
        states = [(str(file), (folder / file).stat()) for file in shown]
        files_key = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
        return {"files": files_key, **names}

    def texts(self, split: str, limit: int | None = None) -> Iterator[str]:
        """The texts of a split, streamed; the first `limit` of them, null: all.

        Raises `UserError` for what does not load, and for the first row without text.
        """
        try:
            for number, row in enumerate(islice(self._rows(split), limit)):
                if self.column not in row:
                    raise UserError(
                        f"task.column: '{self.name}' has no column '{self.column}'; "
                        f"it has {', '.join(row)}"
                    )
                require_text(row[self.column], f"task.hub_name: '{self.name}', {split}", number)
                yield row[self.column]
        except UserError:
            raise
        # What a broken file, network or hub raises depends on the libraries below `datasets`.
        except Exception as error:
            message = " ".join(str(error).split())
            error_class = UserError if Path(self.name).is_dir() else MissingError
            raise error_class(
                f"task.hub_name: split '{split}' of '{self.name}' does not load "
                f"({type(error).__name__}: {message}); "
                "set it to a folder in the hub's layout or to a name on the hub, with a network"
            ) from error

    def _rows(self, split: str) -> Iterable[dict[str, Any]]:
        datasets = _datasets()
        folder = self._folder()
        if folder is not None:
            return self._loaded(datasets, str(folder), None, split=split, streaming=True)
        # Offline, what earlier downloads left in the cache of `datasets` is read.
        online = not datasets.config.HF_HUB_OFFLINE
        if online:
            _require_on_hub(self.name, self.revision)
        return self._loaded(
            datasets,
            self.name,
            self.config,
            split=split,
            streaming=online,
            revision=self.revision,
        )

    def _loaded(self, datasets: ModuleType, *place: str | None, **how: Any) -> Iterable[Any]:
        rows: Any = datasets.load_dataset(*place, **how)
        # Known from the files' own schema or not at all; reading no other column saves time.
        known = rows.column_names
        if known is not None and self.column in known:
            rows = rows.select_columns([self.column])
        loaded: Iterable[Any] = rows
        return loaded

    def _folder(self) -> Path | None:
        """The folder of the files, where `name` is a folder; its part for the config if it has."""
        folder = Path(self.name)
        if not folder.is_dir():
            return None
        part = folder if self.config is None else folder / self.config
        if not part.is_dir():
            raise UserError(f"task.hub_config: no such folder: {part}")
        return part


def token_chunks(
    texts: Iterable[str], vocabulary: Vocabulary, *, documents: bool
) -> Iterator[NDArray[Any]]:
    """The tokens of the texts one after another, each text ended by a mark if it is a document."""
    marks = [vocabulary.end] if documents and vocabulary.end is not None else []
    end = np.array(marks, dtype=token_dtype(vocabulary.size))
    for group in _groups(texts):
        for tokens in vocabulary.encode(group):
            yield tokens
            yield end


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of about a million characters, for a tokenizer to share out."""
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text)
        if characters >= CHARACTERS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _decoded_parts(path: Path, size: int) -> Iterator[str]:
    """The text of the file in parts of about `size` bytes, none of them empty."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    read = 0
    with path.open("rb") as file:
        while data := file.read(size):
            read += len(data)
            if text := _decoded(decode, data, path, read):
                yield text
    if text := _decoded(decode, b"", path, read):
        yield text


def _decoded(decode: Any, data: bytes, path: Path, read: int) -> str:
    try:
        text: str = decode(data, not data)
    except UnicodeDecodeError as error:
        # `error.object` begins with what the decoder kept of the piece before.
        place = read - len(error.object) + error.start
        raise UserError(f"{path}: byte {place} is not UTF-8: {error.reason}") from error
    return text


def _last_start_of_space(text: str) -> int:
    """The last place of a space or line end with something else before it; 0 if there is none."""
    for place in range(len(text) - 1, 0, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return 0


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "task.hub_name needs the package 'datasets': pip install 'sls-torch[harness]'"
        ) from error
    datasets.disable_progress_bars()
    # What it logs of a broken file, the exception says too, and that is told.
    datasets.logging.set_verbosity(logging.CRITICAL)
    module: ModuleType = datasets
    return module


def _require_on_hub(name: str, revision: str | None) -> None:
    """Raises at once where `datasets` would retry for minutes."""
    from huggingface_hub import HfApi

    within(lambda: HfApi().dataset_info(name, revision=revision, timeout=SECONDS))
