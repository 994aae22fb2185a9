"""Long texts in pieces, never all in memory: a file, the hub's rows; and Python's manual."""

from __future__ import annotations

import codecs
import functools
import hashlib
import pydoc_data.topics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.data.base import require_text
from experiments.data.packages import import_datasets, root_cause
from experiments.data.text.blocks import CausalBlocks, Tokens
from experiments.data.text.vocabulary import Vocabulary, token_dtype
from experiments.errors import MissingError, UserError
from experiments.network import require_on_hub


def file_pieces(path: Path, size: int = 1 << 16, longest: int = 1 << 20) -> Iterator[str]:
    """Pieces of a UTF-8 file of about `size` bytes, each but the first begun by a space or newline.

    Their tokens, joined, are those of the whole text for tokenizers that never join a space to the
    character before it, as GPT-2's and BERT's; not always at the ends of a piece of `longest`
    characters without such a place. Raises `UserError` for other encodings.
    """
    kept = ""
    for part in _decoded_parts(path, size):
        # Only the new part is searched, or the time would grow with the square of the text.
        new, kept = max(1, len(kept)), kept + part
        cut = _last_start_of_space(kept, new)
        if cut:
            yield kept[:cut]
            kept = kept[cut:]
        if len(kept) >= longest:
            yield kept
            kept = ""
    if kept:
        yield kept


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
        """The cache's key of the texts: names on the hub; a folder's files, sizes and times."""
        names = {"config": self.config, "revision": self.revision, "column": self.column}
        folder = self._folder()
        if folder is None:
            return {"hub_name": self.name, **names}
        files = []
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            parts, state = file.relative_to(folder).parts, file.stat()
            # Hidden files are no data; a cache may be among them.
            if not any(part.startswith(".") for part in parts):
                files.append(("/".join(parts), state.st_size, state.st_mtime_ns))
        return {"files": files, **names}

    def texts(self, split: str, limit: int | None = None) -> Iterator[str]:
        """The texts of a split, streamed; the first `limit` of them, None: all.

        Raises `UserError` for data that do not load, and for the first row without text.
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
        # The exceptions of files, network and hub are those of the libraries below `datasets`.
        except Exception as error:
            error_class = UserError if Path(self.name).is_dir() else MissingError
            raise error_class(
                f"task.hub_name: split '{split}' of '{self.name}' does not load "
                f"({root_cause(error)}); "
                "set it to a folder in the hub's layout or to a name on the hub, with a network"
            ) from error

    def _rows(self, split: str) -> Any:
        datasets = import_datasets("task.hub_name")
        folder = self._folder()
        if folder is not None:
            rows = datasets.load_dataset(str(folder), split=split, streaming=True)
        else:
            # Offline, the cache of `datasets` is read, where earlier downloads lie.
            online = not datasets.config.HF_HUB_OFFLINE
            if online:
                require_on_hub("dataset", self.name, self.revision)
            rows = datasets.load_dataset(
                self.name, self.config, split=split, streaming=online, revision=self.revision
            )
        # Known from the files' own schema or not at all; reading no other column saves time.
        known = self.column in (rows.column_names or ())
        return rows.select_columns([self.column]) if known else rows

    def _folder(self) -> Path | None:
        """The folder of the files, where `name` is one: its subfolder for the config, if given."""
        folder = Path(self.name)
        if not folder.is_dir():
            return None
        part = folder / (self.config or "")
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
    """The texts in lists of about a million characters, which a tokenizer works on in parallel."""
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text)
        if characters >= 1 << 20:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _decoded_parts(path: Path, size: int) -> Iterator[str]:
    """The text of the file in parts of about `size` bytes, none of them empty."""
    with path.open("rb") as file:
        try:
            yield from codecs.iterdecode(iter(functools.partial(file.read, size), b""), "utf-8")
        except UnicodeDecodeError as error:
            # `error.object` begins with what the decoder kept of the part before.
            place = file.tell() - len(error.object) + error.start
            raise UserError(f"{path}: byte {place} is not UTF-8: {error.reason}") from error


def _last_start_of_space(text: str, first: int) -> int:
    """The last place, from `first` on, of a space or newline after another character; 0: none."""
    for place in range(len(text) - 1, first - 1, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return 0


def byte_text(block: int) -> tuple[CausalBlocks, CausalBlocks]:
    """Blocks of bytes of Python's manual; the last tenth of the text is validation."""
    train, validation = Tokens(manual_bytes, 0, len(manual_bytes())).split(0.1)
    return CausalBlocks(train, block), CausalBlocks(validation, block)


@functools.cache
def manual_bytes() -> NDArray[np.uint8]:
    """`pydoc_data.topics`, sorted by the topics' names; it differs between versions of Python."""
    topics = pydoc_data.topics.topics
    return np.frombuffer("\n".join(topics[name] for name in sorted(topics)).encode(), np.uint8)
