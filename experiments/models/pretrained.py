"""Pretrained models and tokenizers from a local folder or the hub, with errors on one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GPT2Tokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from experiments.errors import MissingError, UserError, reason_of
from experiments.network import require_on_hub

# Every tokenizer of a folder has one of these files; without, transformers makes an empty one.
_VOCABULARIES = ("tokenizer.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken")


def load_config(name: str, model_type: str) -> PretrainedConfig:
    """The config of the pretrained model `name`, which must be of the given type."""
    config = _load(name, "model.name", partial(AutoConfig.from_pretrained, name))
    if config.model_type != model_type:
        raise UserError(
            f"model.name: '{name}' is a model of type '{config.model_type}', not '{model_type}'"
        )
    return config


def load_tokenizer(name: str, key: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `name`; `key` is the config's key that named it, for messages.

    A folder of `vocab.json` and `merges.txt` alone, as OpenAI published them, is GPT-2's.
    """
    folder = Path(name)
    bare = (folder / "merges.txt").is_file() and not any(folder.glob("*config.json"))
    cls = GPT2Tokenizer if bare else AutoTokenizer
    if folder.is_dir() and not any(list(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise UserError(
            f"{key}: the folder '{name}' has no tokenizer: none of {', '.join(_VOCABULARIES)}"
        )

    def load(**place: bool) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = cls.from_pretrained(name, **place)
        # A tokenizer whose files do not fit together fails here, before the data are read.
        if not isinstance(tokenizer.model_max_length, int | float):
            raise TypeError(f"model_max_length is {tokenizer.model_max_length!r}, not a number")
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            # Not by the tokenizer's own call, which changes settings that its identity is made of.
            backend.encode("a text, with a letter that is in few vocabularies: 🙂⠿")
        return tokenizer

    return _load(name, key, load)


def load_model(
    cls: Any, name: str, config: PretrainedConfig, **constructor_arguments: bool
) -> nn.Module:
    """The model of class `cls` with the weights of `name`, in float32.

    Weights that `config` has no place for (left-out layers, heads) are ignored. Missing ones, which
    would silently be random, raise `UserError`, unless they are a classifier's own head.
    """
    load = partial(
        cls.from_pretrained,
        name,
        config=config,
        dtype=torch.float32,  # transformers would otherwise take the dtype of the file
        output_loading_info=True,
        weights_only=True,
        **constructor_arguments,
    )
    model: nn.Module
    model, info = _load(name, "model.name", load)
    own_heads = ("classifier.", "pre_classifier.", "score.")
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(own_heads))
    if missing:
        raise UserError(
            f"model.name: '{name}' lacks {len(missing)} weights of the model, "
            f"the first of them '{missing[0]}'"
        )
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Turn off transformers' progress bars and warnings, and torch's about files, within."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Comes before the error for the file, which our one line reports.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load(name: str, key: str, load: Callable[..., Any]) -> Any:
    """The result of `load` from the folder or the cache, or from the hub where that fails.

    The cache comes first, which keeps the network out of every later run.
    """
    with quiet(), loading_errors(name, key):
        try:
            return load(trust_remote_code=False, local_files_only=True)
        # The kind of exception depends on where a file is broken.
        except Exception:
            if Path(name).is_dir():
                raise
        try:
            require_on_hub("model", name)
        # Network errors are those of whichever HTTP library the hub's client uses.
        except Exception as error:
            raise MissingError(
                f"{key}: '{name}' is not a folder (looked in {Path.cwd()}), is not in the hub's "
                f"cache {constants.HF_HUB_CACHE}, and could not be loaded from huggingface.co "
                f"({type(error).__name__}: {reason_of(error)}); set {key} to a local folder or to "
                "a name on the hub, with a network"
            ) from error
        return load(trust_remote_code=False)


@contextmanager
def loading_errors(name: str, key: str = "model.name") -> Iterator[None]:
    """Within, every error becomes a `UserError` that names the pretrained folder `name`.

    Impossible sizes in its files fail in many ways, also when the model is built.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        place = f"the folder '{name}'" if Path(name).is_dir() else f"'{name}' from the hub"
        raise UserError(
            f"{key}: {place} does not load: {type(error).__name__}: {reason_of(error)}"
        ) from error
