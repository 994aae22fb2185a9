"""Tables from scikit-learn's cache; no network.

The OpenML sets are real: scikit-learn's own tests carry iris (numbers only) and anneal (categories
and missing values) as openml.org sent them. Covertype, 11 MB, would need a network, so its files
are written here as `fetch_covtype` writes them, with made-up numbers.
"""

from __future__ import annotations

import gzip
import shutil
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from experiments.data.tables import TableData, covertype, openml
from experiments.errors import UserError
from experiments.models.settings import MLPModel
from experiments.tasks.build import build_task
from experiments.tasks.tables import OpenMLTask

PLACES = {
    "api-v1-jdl-dn-{name}-l-2-dv-1.json.gz": "list/data_name/{name}/limit/2/data_version/1",
    "api-v1-jd-{number}.json.gz": "{number}",
    "api-v1-jdf-{number}.json.gz": "features/{number}",
    "api-v1-jdq-{number}.json.gz": "qualities/{number}",
}


def put_openml(root: Path, name: str, number: int, file: int, stored: str) -> Path:
    """Put what scikit-learn's tests carry of a set where its cache has it; returns the ARFF."""
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "datasets" / "tests" / "data" / "openml" / f"id_{number}"
    if not source.is_dir():
        pytest.skip(f"this scikit-learn carries no {source}")
    cache = root / "openml" / "openml.org"
    for stored_name, place in PLACES.items():
        target = cache / "api/v1/json/data" / (place.format(name=name, number=number) + ".gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / stored_name.format(name=name, number=number), target)
    arff = cache / f"data/v1/download/{file}/{stored}.gz"
    arff.parent.mkdir(parents=True)
    shutil.copy(source / f"data-v1-dl-{file}.arff.gz", arff)
    return arff


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", pytest.fail)
    monkeypatch.setattr("urllib.request.urlopen", pytest.fail)


@pytest.fixture
def iris_file(tmp_path: Path) -> Path:
    return put_openml(tmp_path, "iris", 61, 61, "iris.arff")


def everything(data: TableData) -> tuple[torch.Tensor, torch.Tensor]:
    """The training part's features and labels."""
    batch = data.train.batch(torch.arange(len(data.train)), None)
    return batch["features"], batch["labels"]


def test_openml_is_split_by_every_fifth_example_and_standardised(
    iris_file: Path, tmp_path: Path
) -> None:
    data = openml(tmp_path, "Iris", 1, download=False)
    assert (len(data.train), len(data.validation), data.features, data.classes) == (120, 30, 4, 3)
    features, labels = everything(data)
    torch.testing.assert_close(features.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(4), atol=1e-5, rtol=0)
    held_out = np.arange(150) % 5 == 0
    original = load_iris()
    assert labels.tolist() == original.target[~held_out].tolist()
    batch = data.validation.batch(torch.tensor([0, 29]), torch.Generator())
    mean, std = original.data[~held_out].mean(0), original.data[~held_out].std(0)
    expected = torch.from_numpy((original.data[[0, 145]] - mean) / std).float()
    # OpenML's iris differs from scikit-learn's in two of the 150 flowers.
    torch.testing.assert_close(batch["features"], expected, atol=0.02, rtol=0)


def test_categories_become_columns_and_missing_values_means(tmp_path: Path) -> None:
    put_openml(tmp_path, "anneal", 2, 1666876, "anneal.arff")
    data = openml(tmp_path, "anneal", 1, download=False)
    features, labels = everything(data)
    assert features.isfinite().all()
    assert features.shape == (len(data.train), data.features)
    assert labels.max() < data.classes
    binary = ((features == 0) | (features == 1)).all(0)
    assert binary.sum() > 30
    numbers = features[:, ~binary]
    assert numbers.shape[1] > 3
    torch.testing.assert_close(numbers.mean(0), torch.zeros(len(numbers[0])), atol=1e-5, rtol=0)


def test_an_mlp_learns_iris(iris_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tmp_path / "openml", root / "scikit_learn_data" / "openml")
    torch.manual_seed(0)
    section = OpenMLTask(dataset="iris", version=1)
    task = build_task(section, MLPModel(width=16, dropout=0.1), data_root=root)
    optimizer = torch.optim.Adam(task.model.parameters(), lr=0.01)
    batch = task.train.batch(torch.arange(120), None)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
    task.model.eval()
    prediction = task.predict(task.validation.batch(torch.arange(30), None))
    assert task.metrics(prediction.outputs, prediction.labels)["accuracy"] > 0.9


def test_a_table_of_one_class_is_refused(tmp_path: Path) -> None:
    # What scikit-learn carries of anneal is a part of it, with a single class.
    put_openml(tmp_path / "scikit_learn_data", "anneal", 2, 1666876, "anneal.arff")
    section = OpenMLTask(dataset="anneal", version=1)
    with pytest.raises(UserError, match="task 'openml': only one class"):
        build_task(section, MLPModel(width=16), data_root=tmp_path)


def test_an_openml_set_that_is_not_there_is_named_and_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        openml(tmp_path, "adult", 2, download=False)
    message = str(raised.value)
    assert message.startswith(f"openml 'adult', version 2: no such file: {tmp_path}")
    assert "task.download=true" in message
    assert not any(tmp_path.iterdir())


def test_a_missing_file_of_an_openml_set_is_named(iris_file: Path, tmp_path: Path) -> None:
    iris_file.unlink()
    with pytest.raises(UserError, match=f"no such file: {iris_file}"):
        openml(tmp_path, "iris", 1, download=False)


@pytest.mark.parametrize("whole", [True, False])
def test_a_changed_or_torn_openml_file_is_refused_and_kept(
    iris_file: Path, tmp_path: Path, whole: bool
) -> None:
    changed = gzip.compress(gzip.decompress(iris_file.read_bytes()) + b"1,2,3,4,Iris-setosa\n")
    iris_file.write_bytes(changed if whole else changed[:200])
    with pytest.raises(UserError, match="MD5" if whole else "cannot be read") as raised:
        openml(tmp_path, "iris", 1, download=False)
    assert str(iris_file) in str(raised.value)
    assert iris_file.is_file()


def test_a_broken_description_of_an_openml_set_is_refused(iris_file: Path, tmp_path: Path) -> None:
    description = tmp_path / "openml/openml.org/api/v1/json/data/61.gz"
    description.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(UserError, match="is broken: no 'data_set_description'"):
        openml(tmp_path, "iris", 1, download=False)
    description.write_bytes(gzip.compress(b"{"))
    with pytest.raises(UserError, match=r"61\.gz cannot be read"):
        openml(tmp_path, "iris", 1, download=False)


def test_a_set_without_classes_is_refused(iris_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "openml/openml.org/api/v1/json/data/features/61.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    text = text.replace('"is_target": "true"', '"is_target": "false"')
    text = text.replace('"is_target": "false"', '"is_target": "true"', 1)
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(UserError, match="one column of classes to predict"):
        openml(tmp_path, "iris", 1, download=False)


def put_covertype(root: Path, examples: int = 400) -> Path:
    """Files as `fetch_covtype` writes them; soils are 0 and 1, the rest numbers of any size."""
    numbers = np.random.default_rng(0)
    features = np.hstack(
        [numbers.normal(2000, 300, (examples, 10)), numbers.integers(0, 2, (examples, 44))]
    ).astype(float)
    folder = root / "covertype"
    folder.mkdir(parents=True)
    joblib.dump(features, folder / "samples_py3", compress=9)
    joblib.dump(np.arange(examples, dtype=np.int32) % 7 + 1, folder / "targets_py3", compress=9)
    return folder


def test_covertype_is_read_from_scikit_learns_cache(tmp_path: Path) -> None:
    put_covertype(tmp_path)
    data = covertype(tmp_path, download=False)
    assert (len(data.train), len(data.validation)) == (320, 80)
    assert (data.features, data.classes) == (54, 7)
    features, labels = everything(data)
    assert labels[:8].tolist() == [1, 2, 3, 4, 6, 0, 1, 2]
    torch.testing.assert_close(features[:, :10].mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    assert set(features[:, 10:].unique().tolist()) == {0, 1}


def test_covertype_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no such folder: {tmp_path / 'covertype'}"):
        covertype(tmp_path, download=False)
    assert not any(tmp_path.iterdir())


def test_a_download_without_network_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match=r"covertype: could not be downloaded to .*no route"):
        covertype(tmp_path, download=True)
    with pytest.raises(UserError, match=r"version 2: could not be downloaded to .*no route"):
        openml(tmp_path, "adult", 2, download=True)


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_torn_file_of_covertype_is_one_clear_error(tmp_path: Path, length: int) -> None:
    path = put_covertype(tmp_path) / "samples_py3"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="covertype: missing or broken in"):
        covertype(tmp_path, download=False)


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> object:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("name", ["samples_py3", "targets_py3"])
@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("shape", ["object", "array", "later"])
def test_code_in_covertypes_files_is_not_run(
    tmp_path: Path, name: str, download: bool, shape: str
) -> None:
    folder = put_covertype(tmp_path)
    payload = Payload(tmp_path / "ran")
    harmful: dict[str, object] = {
        "object": payload,
        "array": np.array([payload], dtype=object),
        "later": [np.zeros(3), payload],
    }
    joblib.dump(harmful[shape], folder / name, compress=9)
    with pytest.raises(UserError, match="covertype: missing or broken in") as raised:
        covertype(tmp_path, download=download)
    assert not (tmp_path / "ran").exists()
    assert ("an array of objects" if shape == "array" else "it names") in str(raised.value)


def test_other_arrays_than_covertypes_are_refused(tmp_path: Path) -> None:
    folder = put_covertype(tmp_path)
    joblib.dump(np.zeros((400, 3)), folder / "samples_py3", compress=9)
    with pytest.raises(UserError, match=r"arrays of \(400, 3\) and \(400,\) numbers, not of"):
        covertype(tmp_path, download=False)


def test_a_small_file_that_unfolds_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_covertype(tmp_path)
    monkeypatch.setattr("experiments.data.array_file.MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        covertype(tmp_path, download=False)
