"""GLUE by `tensorflow-datasets`, from its folder of array records, without TensorFlow."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.data.glue.tasks import DATASETS, Examples, Split, from_columns
from experiments.data.packages import import_optional, root_cause
from experiments.errors import MissingError, UserError
from experiments.network import require_answer

_ADVICE = "set task.tfds_dir to a folder that tensorflow-datasets wrote as array_record"


def read_tfds(folder: Path | None, name: str, split: Split) -> Examples:
    """The examples of `glue/<name>` in the data folder `folder` of tensorflow-datasets.

    `folder` None: its own default, TFDS_DATA_DIR or ~/tensorflow_datasets. Missing data are
    downloaded by it. It stores examples in a shuffled order and text as bytes; here they come as
    text in the order of their `idx`, which is GLUE's. Raises `UserError`.
    """
    dataset = DATASETS[name]
    tfds = _import_tfds()
    split_name = dataset.split_name(split)
    where = f"tensorflow-datasets, glue/{name} in {tfds_folder(folder)}"
    # It warns of a folder that is not there yet.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        builder = tfds.builder(f"glue/{name}", data_dir=folder, file_format="array_record")
        if not builder.is_prepared():
            try:
                # tensorflow-datasets itself would try for minutes.
                require_answer("https://dl.fbaipublicfiles.com")
            except OSError as error:
                raise MissingError(
                    f"{where}: is not there and could not be downloaded: {error}; {_ADVICE}, "
                    "or task.source to tsv"
                ) from error
            # The copies on Google's storage are records of TensorFlow, which need it.
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(download_config=config, file_format="array_record")
        rows = list(builder.as_data_source(split_name, file_format="array_record"))
    except UserError:
        raise
    # The exceptions of downloads, parsers and missing splits are those of many libraries.
    except Exception as error:
        raise UserError(f"{where}: does not load: {root_cause(error)}; {_ADVICE}") from error
    rows.sort(key=lambda row: row["idx"])
    columns = {column: [_text(row[column]) for row in rows] for column in builder.info.features}
    names = getattr(builder.info.features["label"], "names", None)
    return from_columns(dataset, columns, names, f"{where}, {split_name}")


def tfds_folder(folder: Path | None) -> Path:
    """The data folder; None: the default of tensorflow-datasets."""
    return folder or Path(_import_tfds().core.constants.DATA_DIR).expanduser()


def _import_tfds() -> Any:
    # Without TensorFlow the package finds its text data sets only once they were imported.
    modules = ("array_record", "tensorflow_datasets.text", "tensorflow_datasets")
    return import_optional("task.source=tfds", *modules)


def _text(value: Any) -> Any:
    """Bytes as text; bytes that are not UTF-8 stay bytes, which `from_columns` refuses."""
    with suppress(UnicodeDecodeError):
        return value.decode("utf-8") if isinstance(value, bytes) else value
    return value
