"""Pretrained parts from a local folder or the hub, loaded quietly, with one clear error."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from huggingface_hub import HfApi, constants
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
from experiments.network import SECONDS, within

Loaded = TypeVar("Loaded")
P = ParamSpec("P")


_VOCABULARIES = ("tokenizer.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken")
"""Files, one of which every tokenizer of a folder has; without, transformers makes an empty one."""


def load_config(name: str, model_type: str) -> PretrainedConfig:
    """The config of the pretrained model `name`, which must be of the given type."""
    config = _load(name, "model.name", lambda **place: AutoConfig.from_pretrained(name, **place))
    if config.model_type != model_type:
        raise UserError(
            f"model.name: '{name}' is a model of type '{config.model_type}', not '{model_type}'"
        )
    return config


def load_tokenizer(name: str, key: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `name`; `key` is the config's key that named it, for the message.

    A folder of `vocab.json` and `merges.txt` alone, as OpenAI gave them out, is GPT-2's.
    """
    folder = Path(name)
    bare = (folder / "merges.txt").is_file() and not any(folder.glob("*config.json"))
    cls = GPT2Tokenizer if bare else AutoTokenizer

    if folder.is_dir() and not any(
        file for pattern in _VOCABULARIES for file in folder.glob(pattern)
    ):
        raise UserError(
            f"{key}: the folder '{name}' has no tokenizer: none of {', '.join(_VOCABULARIES)}"
        )

    def load(**place: bool) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = cls.from_pretrained(name, **place)
        _try(tokenizer)
        return tokenizer

    return _load(name, key, load)


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer whose files do not go together fail before the data are read."""
    if not isinstance(tokenizer.model_max_length, int | float):
        raise TypeError(f"model_max_length is {tokenizer.model_max_length!r}, not a number")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Not by the tokenizer's own call, which changes settings that its identity is made of.
        backend.encode("a text, with a letter that is in few vocabularies: 🙂⠿")


def load_model(
    cls: Any,
    name: str,
    config: PretrainedConfig,
    *,
    may_be_new: tuple[str, ...] = (),
    **constructor_arguments: bool,
) -> nn.Module:
    """The model of class `cls` with the weights of `name`, in float32.

    Weights that `config` has no place for (left-out layers, heads) are ignored; missing ones are
    a `UserError`, since they would silently be random, but for those whose names begin with one
    of `may_be_new`.
    """

    def load(**place: bool) -> tuple[nn.Module, dict[str, Any]]:
        # transformers would otherwise take the dtype of the file.
        loaded: tuple[nn.Module, dict[str, Any]] = cls.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            weights_only=True,
            **constructor_arguments,
            **place,
        )
        return loaded

    model, info = _load(name, "model.name", load)
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(may_be_new))
    if missing:
        raise UserError(
            f"model.name: '{name}' lacks {len(missing)} weights of the model, "
            f"the first of them '{missing[0]}'"
        )
    return model


def keep_layers(available: int, wanted: int | None, name: str) -> int:
    """How many layers to keep of the `available` ones; null keeps all."""
    if wanted is None:
        return available
    if wanted > available:
        raise UserError(f"model.layers is {wanted}, but '{name}' has only {available} layers")
    return wanted


@contextmanager
def quiet() -> Iterator[None]:
    """Turns transformers' progress bars and warnings off, and torch's of files; then on again."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Said before the file is refused, which one line of ours tells.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load(name: str, key: str, load: Callable[..., Loaded]) -> Loaded:
    """What `load` gives: from the folder or the cache first, from the hub where that fails.

    Asking the cache first keeps the network out of every later run.
    """
    with quiet():
        try:
            return load(trust_remote_code=False, local_files_only=True)
        # What transformers raises for a broken file depends on where it is broken.
        except Exception as error:
            if Path(name).is_dir():
                raise _broken(name, key, error) from error
        _require_on_hub(name, key)
        try:
            return load(trust_remote_code=False)
        except Exception as error:
            raise _broken(name, key, error) from error


def from_pretrained(build: Callable[Concatenate[str, P], Loaded]) -> Callable[..., Loaded]:
    """Decorates what builds a model from the pretrained folder that its first argument names.

    Sizes that the folder's files say and that nothing can be built with fail in any way; here they
    are a `UserError` that names the folder.
    """

    @functools.wraps(build)
    def guarded(name: str, *args: P.args, **kwargs: P.kwargs) -> Loaded:
        try:
            return build(name, *args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            raise _broken(name, "model.name", error) from error

    return guarded


def _broken(name: str, key: str, error: Exception) -> UserError:
    what = f"the folder '{name}'" if Path(name).is_dir() else f"'{name}' from the hub"
    return UserError(f"{key}: {what} does not load: {_one_line(error)}")


def _require_on_hub(name: str, key: str) -> None:
    """Raises `MissingError` within seconds where transformers would retry for a minute."""
    try:
        within(lambda: HfApi().model_info(name, timeout=SECONDS))
    # The errors of a network are those of the HTTP library that the hub's client happens to use.
    except Exception as error:
        raise MissingError(
            f"{key}: '{name}' is no folder (looked in {Path.cwd()}), is not in the hub's cache "
            f"{constants.HF_HUB_CACHE}, and huggingface.co did not give it ({_one_line(error)}); "
            f"set {key} to a local folder or to a name on the hub, with a network"
        ) from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"
