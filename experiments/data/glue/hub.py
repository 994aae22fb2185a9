"""GLUE from the Hugging Face hub, its cache, or a folder in the hub's layout."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.data.glue.tasks import DATASETS, Examples, Split, from_columns
from experiments.data.packages import import_datasets, root_cause
from experiments.errors import MissingError, UserError
from experiments.network import require_on_hub


def read_hub(hub_name: str, name: str, split: Split) -> Examples:
    """The examples of the data set `name` from the hub's repository or the folder `hub_name`.

    A folder holds `<name>/<split>-00000-of-00001.parquet`, as the repository does. No code of a
    repository is run: `datasets` no longer supports scripts. Raises `UserError`.
    """
    dataset = DATASETS[name]
    datasets = import_datasets("task.source=hub")
    split_name = dataset.split_name(split)
    folder = Path(hub_name)
    if folder.is_dir():
        table = _from_folder(datasets, folder / name, split_name)
    else:
        table = _from_hub(datasets, hub_name, name, split_name)
    columns = {column: table[column][:] for column in table.column_names}
    names = getattr(table.features.get("label"), "names", None)
    return from_columns(
        dataset, columns, names, f"task.hub_name: '{hub_name}', {name}/{split_name}"
    )


def _from_folder(datasets: Any, folder: Path, split: str) -> Any:
    files = sorted(str(path) for path in folder.glob(f"{split}-*-of-*.parquet"))
    if not files:
        raise UserError(
            f"task.hub_name: no {split}-00000-of-00001.parquet in {folder.absolute()}; "
            "the folder must be laid out as nyu-mll/glue is on the hub"
        )
    try:
        return datasets.load_dataset("parquet", data_files={split: files}, split=split)
    # The kind of exception depends on where a file is broken; datasets wraps some of them.
    except Exception as error:
        raise UserError(
            f"task.hub_name: {folder}/{split}-*.parquet does not load: {root_cause(error)}"
        ) from error


def _from_hub(datasets: Any, hub_name: str, name: str, split: str) -> Any:
    """From the cache first, which keeps the network out of every later run; else from the hub."""
    # The exception for a missing or broken cache depends on what is left of it.
    with suppress(Exception):
        # `load_dataset` takes this offline, but tries the network before.
        cache = importlib.import_module("datasets.packaged_modules.cache.cache")
        builder = cache.Cache(
            repo_id=hub_name,
            dataset_name=hub_name.rpartition("/")[2],
            config_name=name,
            version="auto",
            hash="auto",
        )
        return builder.as_dataset(split=split)
    try:
        require_on_hub("dataset", hub_name)
        return datasets.load_dataset(hub_name, name, split=split)
    # Network errors are those of whichever HTTP library the hub's client uses.
    except Exception as error:
        raise MissingError(
            f"task.hub_name: '{hub_name}' is not a folder (looked in {Path.cwd()}), and its data "
            f"set '{name}' could not be loaded from huggingface.co or the cache "
            f"{datasets.config.HF_DATASETS_CACHE} ({root_cause(error)}); set task.hub_name to a "
            "local folder or a name on the hub, or task.source to tsv"
        ) from error
