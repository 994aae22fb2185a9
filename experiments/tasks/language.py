"""Language models from the `task` and `model` sections of a config."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from torch import nn

from experiments.config import schema
from experiments.data.text.blocks import CausalBlocks, MaskedBlocks, Tokens, mask_token
from experiments.data.text.corpus import (
    HubText,
    byte_text,
    file_identity,
    file_pieces,
    token_chunks,
)
from experiments.data.text.corpus_cache import cached_tokens, file_bytes
from experiments.data.text.vocabulary import (
    BYTES,
    ByteVocabulary,
    TokenizerVocabulary,
    Vocabulary,
    token_dtype,
)
from experiments.errors import UserError
from experiments.models.gpt2 import new_gpt2, pretrained_gpt2
from experiments.models.masked_bert import new_masked_bert, pretrained_masked_bert
from experiments.models.pretrained import load_tokenizer
from experiments.tasks.losses import LanguageModelling
from experiments.tasks.places import folder_of

GPT2_TOKENIZER = "openai-community/gpt2"


def byte_text_task(task: schema.ByteTextTask, model: schema.GPT2Model) -> LanguageModelling:
    """GPT-2 on the bytes of Python's manual."""
    train, validation = byte_text(task.block)
    return LanguageModelling(_gpt2(model, BYTES, task.block), train, validation)


def language_model_task(
    task: schema.LanguageModelTask,
    model: schema.GPT2Model,
    data_root: Path | None,
    cache: Path | None,
) -> LanguageModelling:
    """GPT-2 on the tokens of a corpus."""
    vocabulary = _vocabulary(
        ("task.tokenizer", task.tokenizer),
        ("model.name", model.name),
        ("task.tokenizer", GPT2_TOKENIZER),
    )
    train, validation = _tokens(task, vocabulary, data_root, cache)
    return LanguageModelling(
        _gpt2(model, vocabulary.size, task.block),
        CausalBlocks(train, task.block),
        CausalBlocks(validation, task.block),
    )


def masked_language_model_task(
    task: schema.MaskedLanguageModelTask,
    model: schema.BertModel,
    data_root: Path | None,
    cache: Path | None,
) -> LanguageModelling:
    """BERT on the tokens of a corpus, some of them hidden."""
    vocabulary = _vocabulary(
        ("task.tokenizer", task.tokenizer),
        ("model.tokenizer", model.tokenizer),
        ("model.name", model.name),
    )
    mask_token(vocabulary)  # refused before a long text is tokenised
    train, validation = _tokens(task, vocabulary, data_root, cache)
    return LanguageModelling(
        _masked_bert(model, vocabulary, task.block),
        MaskedBlocks(train, task.block, vocabulary),
        MaskedBlocks(validation, task.block, vocabulary),
    )


def _vocabulary(*named: tuple[str, str | None]) -> Vocabulary:
    """The vocabulary of the first name that is given; each comes with the key that gives it."""
    for key, name in named:
        if name == "bytes":
            return ByteVocabulary()
        if name is not None:
            return TokenizerVocabulary(load_tokenizer(name, key), name)
    raise UserError(
        "task.tokenizer is needed where the model names none: bytes, a folder or a hub name"
    )


def _tokens(
    task: schema.Corpus, vocabulary: Vocabulary, data_root: Path | None, cache: Path | None
) -> tuple[Tokens, Tokens]:
    """The tokens of training and validation."""
    match task.file, task.hub_name:
        case str(file), None:
            return _file_tokens(file, task, vocabulary, data_root, cache)
        case None, str(name):
            return _hub_tokens(name, task, vocabulary, cache)
        case _:
            raise UserError("the text is one of task.file and task.hub_name; set one of them")


def _hub_tokens(
    hub_name: str, task: schema.Corpus, vocabulary: Vocabulary, cache: Path | None
) -> tuple[Tokens, Tokens]:
    text = HubText(hub_name, task.hub_config, task.hub_revision, task.column)
    key = {"source": text.identity(), "documents": task.documents}

    def split(name: str, limit: int | None) -> Tokens:
        return _cached(
            task,
            f"{Path(text.name).name}-{name}",
            {**key, "split": name, "limit": limit},
            vocabulary,
            cache,
            partial(text.texts, name, limit),
        )

    train = split("train", task.max_rows)
    if task.validation_share is not None:
        return train.split(task.validation_share)
    return train, split("validation", None)


def _file_tokens(
    file: str,
    task: schema.Corpus,
    vocabulary: Vocabulary,
    data_root: Path | None,
    cache: Path | None,
) -> tuple[Tokens, Tokens]:
    if task.validation_share is None:
        raise UserError(f"task.validation_share is needed for task.file '{file}', as 0.1")
    path = folder_of(file, data_root, "task.file")
    if not path.is_file():
        raise UserError(f"task.file: no such file: {path}; set task.file=… or data_root=…")
    if isinstance(vocabulary, ByteVocabulary):
        tokens = file_bytes(path)
    else:
        key: dict[str, object] = {"source": file_identity(path)}
        # The pieces are parts of one text.
        whole = task.model_copy(update={"documents": False})
        tokens = _cached(whole, path.stem, key, vocabulary, cache, partial(file_pieces, path))
    return tokens.split(task.validation_share)


def _cached(
    task: schema.Corpus,
    name: str,
    key: dict[str, object],
    vocabulary: Vocabulary,
    cache: Path | None,
    texts: Callable[[], Iterable[str]],
) -> Tokens:
    if cache is None:
        raise UserError("cache_dir: the tokens of a long text need a folder; it is null")
    return cached_tokens(
        cache,
        name,
        {"tokenizer": vocabulary.identity, **key},
        token_dtype(vocabulary.size),
        lambda: token_chunks(texts(), vocabulary, documents=task.documents),
    )


def _gpt2(model: schema.GPT2Model, vocabulary: int, block: int) -> nn.Module:
    if model.name is not None:
        return pretrained_gpt2(
            model.name,
            vocabulary=vocabulary,
            block=block,
            layers=model.layers,
            dropout=model.dropout,
        )
    return new_gpt2(
        vocabulary=vocabulary,
        block=block,
        width=model.width,
        layers=model.layers,
        heads=model.heads,
        dropout=model.dropout,
    )


def _masked_bert(model: schema.BertModel, vocabulary: Vocabulary, block: int) -> nn.Module:
    if model.name is not None:
        return pretrained_masked_bert(
            model.name,
            vocabulary=vocabulary.size,
            block=block,
            layers=model.layers,
            dropout=model.dropout,
        )
    return new_masked_bert(
        vocabulary=vocabulary.size,
        padding_id=vocabulary.padding,
        block=block,
        width=model.width,
        layers=model.layers,
        heads=model.heads,
        dropout=model.dropout,
    )
