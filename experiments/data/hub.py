"""The package `datasets` of the Hugging Face hub, quiet, and errors on one line."""

from __future__ import annotations

import importlib
from logging import CRITICAL
from typing import Any

from experiments.errors import UserError
from experiments.network import SECONDS, within


def import_datasets(key: str) -> Any:
    """The package `datasets`; a `UserError` that names the config's `key` if it is missing."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"{key} needs the package 'datasets' ({error}); "
            "install this project's extra: pip install '.[harness]'"
        ) from error
    datasets.disable_progress_bars()
    # It logs errors of broken files, which the exception reports too.
    datasets.logging.set_verbosity(CRITICAL)
    return datasets


def require_on_hub(name: str, revision: str | None = None) -> None:
    """Raise within seconds where `datasets` would retry for minutes."""
    hub = importlib.import_module("huggingface_hub")
    within(lambda: hub.HfApi().dataset_info(name, revision=revision, timeout=SECONDS))


def root_cause(error: BaseException) -> str:
    """The class and message of the first exception in the chain of causes, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
