"""Packages that read and fetch data: optional ones, the hub's `datasets`, and their errors."""

from __future__ import annotations

import importlib
from logging import CRITICAL
from typing import Any

from experiments.errors import UserError

# Advice for data that libraries fetch below data_root.
FETCH = "set data_root to where it lies, or task.download=true to fetch it"
REPLACE = "delete what is broken there and set task.download=true to fetch it"


def import_optional(key: str, *names: str) -> Any:
    """The last of the modules `names`; a `UserError` for the config's `key` if one is missing."""
    try:
        return [importlib.import_module(name) for name in names][-1]
    except ImportError as error:
        raise UserError(
            f"{key} needs the package '{names[-1].replace('_', '-')}' ({error}); "
            "install this project's extra: pip install '.[harness]'"
        ) from error


def import_datasets(key: str) -> Any:
    """The package `datasets`, without its progress bars and its log of broken files."""
    datasets = import_optional(key, "datasets")
    datasets.disable_progress_bars()
    # The exceptions report the same.
    datasets.logging.set_verbosity(CRITICAL)
    return datasets


def root_cause(error: BaseException) -> str:
    """The class and message of the first exception in the chain of causes, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
