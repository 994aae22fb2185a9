"""GLUE by the package `datasets`: from the Hugging Face hub, its cache, or a folder laid out so."""

from __future__ import annotations

import importlib
from logging import CRITICAL
from pathlib import Path
from typing import Any

from experiments.data.glue.tasks import Examples, Split, dataset_named, from_columns
from experiments.errors import MissingError, UserError
from experiments.network import SECONDS, within


def read_hub(hub_name: str, name: str, split: Split) -> Examples:
    """The examples of the data set `name` from the hub's repository or the folder `hub_name`.

    A folder holds `<name>/<split>-00000-of-00001.parquet`, as the repository does. No code of a
    repository is run: `datasets` has no scripts any more. Raises `UserError`.
    """
    dataset = dataset_named(name)
    datasets = _import_datasets()
    split_name = dataset.split_name(split)
    folder = Path(hub_name)
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    # What it logs of a broken file, the exception says too, and that is told.
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(CRITICAL)
    try:
        if folder.is_dir():
            table = _from_folder(datasets, folder / name, split_name)
        else:
            table = _from_hub(datasets, hub_name, name, split_name)
        columns = {column: table[column][:] for column in table.column_names}
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()
    names = getattr(table.features.get("label"), "names", None)
    return from_columns(
        dataset, columns, names, f"task.hub_name: '{hub_name}', {name}/{split_name}"
    )


def _import_datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"task.source=hub needs the package 'datasets' ({error}); "
            "install this project's extra: pip install '.[harness]'"
        ) from error


def _from_folder(datasets: Any, folder: Path, split: str) -> Any:
    files = sorted(str(path) for path in folder.glob(f"{split}-*-of-*.parquet"))
    if not files:
        raise UserError(
            f"task.hub_name: no {split}-00000-of-00001.parquet in {folder.absolute()}; "
            "the folder must be laid out as nyu-mll/glue is on the hub"
        )
    try:
        return datasets.load_dataset("parquet", data_files={split: files}, split=split)
    # What a broken file raises depends on where it is broken; datasets wraps some of it.
    except Exception as error:
        raise UserError(
            f"task.hub_name: {folder}/{split}-*.parquet does not load: {_root_cause(error)}"
        ) from error


def _from_hub(datasets: Any, hub_name: str, name: str, split: str) -> Any:
    """From the cache first, which keeps the network out of every later run; else from the hub."""
    try:
        return _from_cache(hub_name, name, split)
    # What a missing or broken cache raises depends on what is left of it.
    except Exception:
        _require_on_hub(datasets, hub_name, name)
    try:
        return datasets.load_dataset(hub_name, name, split=split)
    except Exception as error:
        raise _missing(datasets, hub_name, name, error) from error


def _from_cache(hub_name: str, name: str, split: str) -> Any:
    """What `load_dataset` takes offline, without its try of the network."""
    cache = importlib.import_module("datasets.packaged_modules.cache.cache")
    builder = cache.Cache(
        repo_id=hub_name,
        dataset_name=hub_name.rpartition("/")[2],
        config_name=name,
        version="auto",
        hash="auto",
    )
    return builder.as_dataset(split=split)


def _require_on_hub(datasets: Any, hub_name: str, name: str) -> None:
    """Raises `MissingError` within seconds where `datasets` would retry for minutes."""
    hub = importlib.import_module("huggingface_hub")
    try:
        within(lambda: hub.HfApi().dataset_info(hub_name, timeout=SECONDS))
    # The errors of a network are those of the HTTP library that the hub's client happens to use.
    except Exception as error:
        raise _missing(datasets, hub_name, name, error) from error


def _missing(datasets: Any, hub_name: str, name: str, error: Exception) -> MissingError:
    return MissingError(
        f"task.hub_name: '{hub_name}' is no folder (looked in {Path.cwd()}), and neither "
        f"huggingface.co nor the cache {datasets.config.HF_DATASETS_CACHE} gave its data set "
        f"'{name}' ({_root_cause(error)}); set task.hub_name to a local folder or a name on the "
        "hub, or task.source to tsv"
    )


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
