"""GLUE by `tensorflow-datasets`, from its folder of array records, without TensorFlow."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from experiments.data.glue.tasks import Examples, Split, dataset_named, from_columns
from experiments.errors import MissingError, UserError
from experiments.network import SECONDS, within

_SERVER = "https://dl.fbaipublicfiles.com"


def read_tfds(folder: Path | None, name: str, split: Split) -> Examples:
    """The examples of `glue/<name>` in the data folder `folder` of tensorflow-datasets.

    Null `folder`: its own default, TFDS_DATA_DIR or ~/tensorflow_datasets. What is not there yet is
    downloaded by it. It stores examples in a shuffled order and bytes for text; here they come in
    the order of their `idx`, which is GLUE's, as text. Raises `UserError`.
    """
    dataset = dataset_named(name)
    tfds = _import_tfds()
    split_name = dataset.split_name(split)
    where = f"tensorflow-datasets, glue/{name}"
    where += f" in {tfds_folder(folder)}"
    try:
        with _quiet():
            builder = tfds.builder(f"glue/{name}", data_dir=folder, file_format="array_record")
        if not builder.is_prepared():
            _require_server(where)
            # The copies on Google's storage are records of TensorFlow, which need it.
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(download_config=config, file_format="array_record")
        rows = list(builder.as_data_source(split_name, file_format="array_record"))
    except UserError:
        raise
    # Downloading, parsing and missing splits raise what their libraries happen to raise.
    except Exception as error:
        raise UserError(
            f"{where}: does not load: {type(error).__name__}: {' '.join(str(error).split())}; set "
            "task.tfds_dir to a folder that tensorflow-datasets wrote as array_record"
        ) from error
    rows.sort(key=lambda row: row["idx"])
    columns = {column: [_text(row[column]) for row in rows] for column in builder.info.features}
    names = getattr(builder.info.features["label"], "names", None)
    return from_columns(dataset, columns, names, f"{where}, {split_name}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that a folder is not there yet."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def tfds_folder(folder: Path | None) -> Path:
    """The data folder; null: the default of tensorflow-datasets."""
    return folder or Path(_import_tfds().core.constants.DATA_DIR).expanduser()


def _import_tfds() -> Any:
    try:
        # Without TensorFlow the package finds its text data sets only once they were imported.
        importlib.import_module("tensorflow_datasets.text")
        importlib.import_module("array_record")
        return importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise UserError(
            "task.source=tfds needs the packages 'tensorflow-datasets', 'array_record' and "
            f"'importlib_resources' ({error}); install this project's extra: "
            "pip install '.[harness]'"
        ) from error


def _require_server(where: str) -> None:
    """Raises `MissingError` within seconds where tensorflow-datasets would try for minutes."""
    requests = importlib.import_module("requests")
    try:
        within(lambda: requests.head(_SERVER, timeout=SECONDS))
    except OSError as error:
        raise MissingError(
            f"{where}: is not there, and {_SERVER} does not answer "
            f"({type(error).__name__}); set task.tfds_dir to a "
            "folder that tensorflow-datasets wrote as array_record, or task.source to tsv"
        ) from error


def _text(value: Any) -> Any:
    """Bytes as text; what is not UTF-8 stays bytes, and is refused as a row without text."""
    with suppress(UnicodeDecodeError):
        return value.decode("utf-8") if isinstance(value, bytes) else value
    return value
