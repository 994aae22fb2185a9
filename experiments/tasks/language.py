"""Language modelling, causal and masked, on bytes or tokens of a long text. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from experiments.errors import UserError
from experiments.models.settings import BertModel, GPT2Model
from experiments.settings import LocalPath, OpenUnit, Switch
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.places import folder_of, hub_data

if TYPE_CHECKING:
    from experiments.data.text.blocks import Tokens
    from experiments.data.text.vocabulary import Vocabulary


class ByteTextTask(TaskSettings):
    """Language modelling on the bytes of text that every Python carries (`pydoc_data.topics`)."""

    kind: Literal["byte_text"] = "byte_text"
    block: PositiveInt = Field(64, description="bytes per sequence")

    models: ClassVar = (GPT2Model,)

    def build(self, model: GPT2Model, **_: Any) -> Task:
        from experiments.data.text.corpus import byte_text
        from experiments.data.text.vocabulary import BYTES
        from experiments.tasks.losses import LanguageModelling

        train, validation = byte_text(self.block)
        network = model.network(vocabulary=BYTES, block=self.block)
        return LanguageModelling(network, train, validation)


class Corpus(TaskSettings):
    """A long text, one file (`file`) or a data set's column (`hub_name`), as blocks of tokens.

    Tokens are made once and kept on disk; bytes of a file are read from the file itself.
    """

    file: LocalPath | None = Field(None, description="below data_root, or an absolute path")
    hub_name: LocalPath | None = Field(
        None, description="hub name, or a folder in the hub's layout; instead of file"
    )
    hub_config: str | None = Field(None, description="the hub's name for a part of the data set")
    hub_revision: str | None = Field(None, description="branch, tag or commit; null: the newest")
    column: str = "text"
    documents: Switch = Field(
        False, description="true: rows are documents, each ended by a mark; false: parts of one"
    )
    max_rows: PositiveInt | None = Field(
        None, description="of the hub's training split, the first n rows; null: all"
    )
    tokenizer: LocalPath | None = Field(
        None, description="bytes, hub name or local folder; null: the model's own"
    )
    block: PositiveInt = Field(1024, description="tokens per sequence")
    validation_share: OpenUnit | None = Field(
        None, description="of the training tokens, the last ones; null: the hub's validation split"
    )

    keeps_tokens: ClassVar = True
    default_tokenizer: ClassVar[str | None] = None

    def places(self, data_root: Path | None) -> Iterable[Path]:
        if self.file is not None:
            return [folder_of(self.file, data_root, "task.file")]
        return [] if self.hub_name is None else hub_data(self.hub_name, self.hub_config)

    def vocabulary(self, model: BertModel | GPT2Model) -> Vocabulary:
        """The vocabulary of the first name that is set: the task's, the model's, the default."""
        from experiments.data.text.vocabulary import ByteVocabulary, TokenizerVocabulary
        from experiments.models.pretrained import load_tokenizer

        for key, name in (
            ("task.tokenizer", self.tokenizer),
            ("model.tokenizer", getattr(model, "tokenizer", None)),
            ("model.name", model.name),
            ("task.tokenizer", self.default_tokenizer),
        ):
            if name == "bytes":
                return ByteVocabulary()
            if name is not None:
                return TokenizerVocabulary(load_tokenizer(name, key), name)
        raise UserError(
            "task.tokenizer is needed where the model names none: bytes, a folder or a hub name"
        )

    def tokens(
        self, vocabulary: Vocabulary, data_root: Path | None, cache: Path | None
    ) -> tuple[Tokens, Tokens]:
        """The tokens of training and validation."""
        match self.file, self.hub_name:
            case str(file), None:
                return self._file_tokens(file, vocabulary, data_root, cache)
            case None, str(name):
                return self._hub_tokens(name, vocabulary, cache)
            case _:
                raise UserError("the text is one of task.file and task.hub_name; set one of them")

    def _hub_tokens(
        self, hub_name: str, vocabulary: Vocabulary, cache: Path | None
    ) -> tuple[Tokens, Tokens]:
        from experiments.data.text.corpus import HubText

        text = HubText(hub_name, self.hub_config, self.hub_revision, self.column)
        source = {"source": text.identity(), "documents": self.documents}

        def split(name: str, limit: int | None) -> Tokens:
            file, key = f"{Path(text.name).name}-{name}", {**source, "split": name, "limit": limit}
            texts = partial(text.texts, name, limit)
            return _cached(cache, file, key, vocabulary, texts, documents=self.documents)

        train = split("train", self.max_rows)
        if self.validation_share is not None:
            return train.split(self.validation_share)
        return train, split("validation", None)

    def _file_tokens(
        self, file: str, vocabulary: Vocabulary, data_root: Path | None, cache: Path | None
    ) -> tuple[Tokens, Tokens]:
        from experiments.data.text.corpus import file_identity, file_pieces
        from experiments.data.text.corpus_cache import file_bytes
        from experiments.data.text.vocabulary import ByteVocabulary

        if self.validation_share is None:
            raise UserError(f"task.validation_share is needed for task.file '{file}', as 0.1")
        path = folder_of(file, data_root, "task.file")
        if not path.is_file():
            raise UserError(f"task.file: no such file: {path}; set task.file=… or data_root=…")
        if isinstance(vocabulary, ByteVocabulary):
            tokens = file_bytes(path)
        else:
            key, pieces = {"source": file_identity(path)}, partial(file_pieces, path)
            # The pieces are parts of one text.
            tokens = _cached(cache, path.stem, key, vocabulary, pieces, documents=False)
        return tokens.split(self.validation_share)


def _cached(
    cache: Path | None,
    name: str,
    key: dict[str, Any],
    vocabulary: Vocabulary,
    texts: Callable[[], Iterable[str]],
    *,
    documents: bool,
) -> Tokens:
    from experiments.data.text.corpus import token_chunks
    from experiments.data.text.corpus_cache import cached_tokens
    from experiments.data.text.vocabulary import token_dtype

    if cache is None:
        raise UserError("cache_dir: the tokens of a long text need a folder; it is null")
    return cached_tokens(
        cache,
        name,
        {"tokenizer": vocabulary.identity, **key},
        token_dtype(vocabulary.size),
        lambda: token_chunks(texts(), vocabulary, documents=documents),
    )


class LanguageModelTask(Corpus):
    """Language modelling: every token but the first is predicted from those before it."""

    kind: Literal["language_model"] = "language_model"

    models: ClassVar = (GPT2Model,)
    default_tokenizer: ClassVar = "openai-community/gpt2"
    titles: ClassVar = {
        "openwebtext": "OpenWebText",
        "shakespeare": "Shakespeare",
        "wikitext": "WikiText",
    }

    def build(
        self, model: GPT2Model, *, data_root: Path | None, cache: Path | None, **_: Any
    ) -> Task:
        from experiments.data.text.blocks import CausalBlocks
        from experiments.tasks.losses import LanguageModelling

        vocabulary = self.vocabulary(model)
        parts = self.tokens(vocabulary, data_root, cache)
        network = model.network(vocabulary=vocabulary.size, block=self.block)
        train, validation = (CausalBlocks(tokens, self.block) for tokens in parts)
        return LanguageModelling(network, train, validation)


class MaskedLanguageModelTask(Corpus):
    """Masked language modelling: 15 % of the tokens are predicted from all the others."""

    kind: Literal["masked_language_model"] = "masked_language_model"

    models: ClassVar = (BertModel,)

    def build(
        self, model: BertModel, *, data_root: Path | None, cache: Path | None, **_: Any
    ) -> Task:
        from experiments.data.text.blocks import MaskedBlocks, mask_token
        from experiments.tasks.losses import LanguageModelling

        vocabulary = self.vocabulary(model)
        mask_token(vocabulary)  # refused before a long text is tokenised
        parts = self.tokens(vocabulary, data_root, cache)
        network = model.masked_network(
            vocabulary=vocabulary.size, padding_id=vocabulary.padding, block=self.block
        )
        train, validation = (MaskedBlocks(tokens, self.block, vocabulary) for tokens in parts)
        return LanguageModelling(network, train, validation)
