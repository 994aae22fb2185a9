"""Tables as batches: covertype and sets of OpenML, from scikit-learn's cache.

Every fifth example is validation. A feature's column is standardised by the training part's mean
and deviation, unless it holds only 0 and 1 there; a missing value becomes the mean. Categories
become one column each, all 0 where the category is missing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.data.array_file import read_array
from experiments.data.base import Batch, Source
from experiments.data.contents import Part, digest
from experiments.data.packages import FETCH, REPLACE
from experiments.errors import MissingError, UserError, reason_of
from experiments.network import require_answer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Features, float32 N×F, and labels, int64 N. Batch keys: features, labels."""

    features: Tensor
    labels: Tensor
    digest: str
    """Of the features before standardising, which rounds differently on other machines."""

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        return {"features": self.features[indices], "labels": self.labels[indices]}

    def contents(self) -> Iterable[Part]:
        yield self.labels
        yield self.digest.encode()


class TableData(NamedTuple):
    """Both splits of a table, and the sizes that a model needs."""

    train: Source
    validation: Source
    features: int
    classes: int


def covertype(root: Path, *, download: bool) -> TableData:
    """Forest covertype: 581,012 examples, 54 features, 7 classes; `root` is scikit-learn's cache.

    Raises `UserError` if it is not there and `download` is false, or could not be fetched.
    """
    folder = root / "covertype"
    if not download and not folder.is_dir():
        raise MissingError(f"covertype: no such folder: {folder}; {FETCH}")
    # The names of `fetch_covtype`, which is called only to fetch: it reads as joblib does, which
    # runs code.
    samples, targets = folder / "samples_py3", folder / "targets_py3"
    if download and not (samples.exists() and targets.exists()):
        try:
            from sklearn.datasets import fetch_covtype  # late, as below: it takes a second

            require_answer("https://ndownloader.figshare.com")
            fetch_covtype(data_home=root)
        except Exception as error:
            raise MissingError(
                f"covertype: could not be downloaded to {folder}: {reason_of(error)}"
            ) from error
    try:
        features, labels = read_array(samples), read_array(targets)
        numbers = {features.dtype.kind, labels.dtype.kind} <= set("iuf")
        if features.shape != (len(labels), 54) or labels.ndim != 1 or not numbers:
            raise ValueError(
                f"arrays of {features.shape} and {labels.shape} numbers, not of (n, 54) and (n,)"
            )
    # The kind of exception depends on where a file is torn.
    except Exception as error:
        raise MissingError(
            f"covertype: missing or broken in {folder}: {reason_of(error)}; {REPLACE}"
        ) from error
    return split_table(features, labels)


def openml(root: Path, name: str, version: int, *, download: bool) -> TableData:
    """Version `version` of OpenML's set `name`, with its default target, which must be classes.

    `root` is scikit-learn's cache. Raises `UserError` if it is not there and `download` is false,
    could not be fetched or read, or has no classes to predict.
    """
    from sklearn.datasets import fetch_openml

    title, cache = f"openml '{name}', version {version}", root / "openml"
    try:
        _require_cached(cache / "openml.org", name, version)
    except UserError as missing:
        if not download:
            raise MissingError(f"{title}: {missing}; {FETCH}") from missing
        try:
            require_answer("https://www.openml.org")
        except OSError as error:
            raise MissingError(f"{title}: could not be downloaded to {cache}: {error}") from error
    try:
        # This parser, unlike the other, needs no pandas and numbers the categories.
        table = fetch_openml(
            name, version=version, data_home=root, as_frame=False, parser="liac-arff"
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{title}: could not be loaded from {cache}: {error}") from error
    targets = table.target_names
    if len(targets) != 1 or table.target.dtype != object:
        raise UserError(f"{title}: must have one column of classes to predict, not {targets}")
    columns = table.data if isinstance(table.data, np.ndarray) else table.data.toarray()
    # One column for each category in place of a column of their numbers.
    parts = [
        column[:, None] == np.arange(len(table.categories[name]))
        if name in table.categories
        else column[:, None]
        for name, column in zip(table.feature_names, columns.T, strict=True)
    ]
    return split_table(np.hstack(parts, dtype=np.float64), table.target)


def _require_cached(cache: Path, name: str, version: int) -> None:
    """Raise `UserError` unless all files of the set are in scikit-learn's cache and whole.

    `fetch_openml` cannot be kept off the network, and deletes files that it cannot read, so
    everything that it would read is checked first.
    """
    api = cache / "api/v1/json/data"
    try:
        # OpenML does not mind capitals in a name; the cache has them small.
        sets = _json(api / f"list/data_name/{name.lower()}/limit/2/data_version/{version}.gz")
        number = sets["data"]["dataset"][0]["did"]
        description = _json(api / f"{number}.gz")["data_set_description"]
        sparse = description["format"].lower() == "sparse_arff"
        for part in ("features",) if sparse else ("features", "qualities"):
            _json(api / f"{part}/{number}.gz")
        data = cache / f"{urlparse(description['url']).path.lstrip('/')}.gz"
        checksum = hashlib.md5(_unzipped(data), usedforsecurity=False).hexdigest()
        if checksum != description["md5_checksum"]:
            raise UserError(f"{data} does not have the MD5 sum of OpenML's description")
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f"the cache {cache.parent} is broken: no {error}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_unzipped(path))
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _unzipped(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def split_table(features: Floats, targets: NDArray[np.generic]) -> TableData:
    """Every fifth example is validation, whatever the seed; classes are sorted by their names."""
    names, labels = np.unique(targets, return_inverse=True)
    held_out = torch.arange(len(labels)) % 5 == 0
    scaled = torch.from_numpy(_standardised(features, features[~held_out.numpy()])).float()
    numbers = torch.from_numpy(labels).long()
    raw = digest([features])
    train, validation = (Table(scaled[p], numbers[p], raw) for p in (~held_out, held_out))
    return TableData(train, validation, features=scaled.shape[1], classes=len(names))


def _standardised(features: Floats, train: Floats) -> Floats:
    """Columns with mean 0 and deviation 1 over `train`; columns of 0 and 1 as they are."""
    # numpy warns of columns without values.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        mean, std = np.nanmean(train, 0), np.nanstd(train, 0)
    plain = np.isin(train, (0, 1)).all(0)
    mean, std = np.where(plain, 0, mean), np.where(plain | (std == 0), 1, std)
    scaled = (features - mean) / std
    return np.where(np.isnan(scaled), 0, scaled)
