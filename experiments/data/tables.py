"""Tables as batches: covertype and sets of OpenML, from scikit-learn's cache.

Every fifth example is validation. A column of the features is standardised by the training part's
mean and deviation, unless it holds only 0 and 1 there; a missing value becomes the mean.
Categories become a column each, all 0 where the category is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import fetch_covtype, fetch_openml
from torch import Tensor

from experiments.data.array_file import read_array
from experiments.data.base import Batch, Source
from experiments.data.contents import Part, digest
from experiments.data.openml_cache import require_cached
from experiments.errors import MissingError, UserError, reason_of
from experiments.network import require_answer

Floats = NDArray[np.float64]

_COVERTYPE_FEATURES = 54

# Where scikit-learn fetches from.
_COVERTYPE_URL = "https://ndownloader.figshare.com"
_OPENML_URL = "https://www.openml.org"

_ADVICE = "set data_root to where it lies, or task.download=true to fetch it"


@dataclass(frozen=True)
class Table:
    """Features, float32 N×F, and labels, int64 N. Batch keys: features, labels."""

    features: Tensor
    labels: Tensor
    digest: str
    """Of the features before they were standardised, which rounds otherwise on other machines."""

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.labels)

    def batch(self, indices: Tensor, generator: torch.Generator | None) -> Batch:
        """Nothing is augmented."""
        return {"features": self.features[indices], "labels": self.labels[indices]}

    def contents(self) -> Iterable[Part]:
        """The labels, and the digest of the features."""
        yield self.labels
        yield self.digest.encode()


@dataclass(frozen=True)
class TableData:
    """Both splits of a table, and what a model has to know of them."""

    train: Source
    validation: Source
    features: int
    classes: int


def covertype(root: Path, *, download: bool) -> TableData:
    """Forest covertype: 581,012 examples, 54 features, 7 classes; `root` is scikit-learn's cache.

    Raises `UserError` if it is not there and `download` is false, or cannot be fetched.
    """
    folder = root / "covertype"
    if not download and not folder.is_dir():
        raise MissingError(f"covertype: no such folder: {folder}; {_ADVICE}")
    # Under these names `fetch_covtype` keeps them; it would read them as joblib does, which runs
    # code, and is called only where it fetches.
    samples, targets = folder / "samples_py3", folder / "targets_py3"
    if download and not (samples.exists() and targets.exists()):
        found = _fetched_covertype(root, folder)
        return _split(found[0], found[1])
    try:
        features, labels = read_array(samples), read_array(targets)
        _require_covertype(features, labels)
    # A torn file ends early, or is no pickle, in one of many ways.
    except Exception as error:
        raise MissingError(
            f"covertype: missing or broken in {folder}: {reason_of(error)}; "
            "delete what is broken there and set task.download=true to fetch it"
        ) from error
    return _split(features, labels)


def _fetched_covertype(root: Path, folder: Path) -> tuple[Floats, NDArray[np.generic]]:
    try:
        require_answer(_COVERTYPE_URL)
        found = fetch_covtype(data_home=root)
    except Exception as error:
        raise MissingError(
            f"covertype: could not be downloaded to {folder}: {reason_of(error)}"
        ) from error
    return found.data, np.asarray(found.target)


def _require_covertype(features: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    """Raise `ValueError` for arrays that are not covertype's."""
    numbers = {features.dtype.kind, labels.dtype.kind} <= set("iuf")
    if features.shape != (len(labels), _COVERTYPE_FEATURES) or labels.ndim != 1 or not numbers:
        raise ValueError(
            f"arrays of {features.shape} and {labels.shape} numbers, not of "
            f"(n, {_COVERTYPE_FEATURES}) and (n,)"
        )


def openml(root: Path, name: str, version: int, *, download: bool) -> TableData:
    """Version `version` of OpenML's set `name`, with its default target, which must be classes.

    `root` is scikit-learn's cache. Raises `UserError` if it is not there and `download` is false,
    cannot be fetched or read, or has no classes to predict.
    """
    title = f"openml '{name}', version {version}"
    try:
        require_cached(root / "openml", name, version, f"{title}: {{}}; {_ADVICE}")
    except MissingError:
        if not download:
            raise
        _require_openml(title, root / "openml")
    try:
        # This parser, unlike the other, needs no pandas and numbers the categories.
        found = fetch_openml(
            name, version=version, data_home=root, as_frame=False, parser="liac-arff"
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{title}: cannot be had from {root / 'openml'}: {error}") from error
    targets = found.target_names
    if len(targets) != 1 or found.target.dtype != object:
        raise UserError(f"{title}: must have one column of classes to predict, not {targets}")
    columns = found.data if isinstance(found.data, np.ndarray) else found.data.toarray()
    return _split(_one_hot(columns, found.feature_names, found.categories), found.target)


def _require_openml(title: str, folder: Path) -> None:
    try:
        require_answer(_OPENML_URL)
    except OSError as error:
        raise MissingError(f"{title}: could not be downloaded to {folder}: {error}") from error


def _one_hot(columns: Floats, names: list[str], categories: dict[str, list[str]]) -> Floats:
    """Each column of numbered categories as one column for each of them."""
    parts = []
    for name, column in zip(names, columns.T, strict=True):
        if name in categories:
            parts.append((column[:, None] == np.arange(len(categories[name]))).astype(np.float64))
        else:
            parts.append(column[:, None])
    return np.concatenate(parts, axis=1)


def _split(features: Floats, targets: NDArray[np.generic]) -> TableData:
    """Every fifth example is validation, whatever the seed; classes are sorted by their names."""
    names, labels = np.unique(targets, return_inverse=True)
    held_out = torch.arange(len(labels)) % 5 == 0
    scaled = torch.from_numpy(_standardised(features, features[~held_out.numpy()])).float()
    numbers = torch.from_numpy(labels).long()
    raw = digest([features])
    train = Table(scaled[~held_out], numbers[~held_out], raw)
    validation = Table(scaled[held_out], numbers[held_out], raw)
    return TableData(train, validation, features=scaled.shape[1], classes=len(names))


def _standardised(features: Floats, train: Floats) -> Floats:
    """Columns with mean 0 and deviation 1 over `train`; columns of 0 and 1 as they are."""
    known = ~np.isnan(train)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, train, 0).sum(0) / count
    std = np.sqrt((np.where(known, train - mean, 0) ** 2).sum(0) / count)
    plain = np.isin(train, (0, 1)).all(0)
    mean, std = np.where(plain, 0, mean), np.where(plain | (std == 0), 1, std)
    scaled = (features - mean) / std
    return np.where(np.isnan(scaled), 0, scaled)
