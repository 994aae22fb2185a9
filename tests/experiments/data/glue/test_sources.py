"""GLUE's three sources give the same; what they lack is named."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.data.glue.hub import read_hub
from experiments.data.glue.tasks import DATASETS, Examples, Split, from_columns
from experiments.data.glue.tfds import read_tfds
from experiments.data.glue.tsv import read_tsv
from experiments.errors import MissingError, UserError
from tests.experiments.data.glue.glue_folders import (
    HUB,
    TASKS,
    rows_of,
    write_hub,
    write_hub_cache,
    write_tfds,
    write_tsv,
)

ALL_SPLITS: list[tuple[str, Split, str]] = [
    *((name, "train", "train") for name in TASKS),
    *((name, "validation", "validation") for name in TASKS if name != "mnli"),
    ("mnli", "validation", "validation_matched"),
    ("mnli", "mismatched", "validation_mismatched"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("glue")
    tsv = write_tsv(root / "tsv")
    with pytest.MonkeyPatch.context() as patch:
        tfds = write_tfds(root / "tfds", tsv, patch)
    return {"tsv": tsv, "hub": write_hub(root / "hub"), "tfds": tfds}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` caches stays in the test."""
    config = importlib.import_module("datasets.config")
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")


def read(source: str, folder: Path, name: str, split: Split) -> Examples:
    match source:
        case "tsv":
            return read_tsv(folder, name, split)
        case "hub":
            return read_hub(str(folder), name, split)
        case _:
            return read_tfds(folder, name, split)


@pytest.mark.parametrize("source", ["tsv", "hub", "tfds"])
def test_every_source_gives_the_same_texts_and_labels(
    source: str, folders: dict[str, Path]
) -> None:
    for name, split, hub_split in ALL_SPLITS:
        examples = read(source, folders[source], name, split)
        expected = rows_of(name, hub_split)
        assert examples.texts == [texts for texts, _ in expected], name
        assert examples.labels == pytest.approx([label for _, label in expected]), name
        kind = int if DATASETS[name].labels else float
        assert {type(label) for label in examples.labels} == {kind}, name


def test_labels_are_numbered_as_on_the_hub() -> None:
    assert {name: dataset.labels for name, dataset in DATASETS.items()} == {
        name: labels for name, (_, labels) in HUB.items()
    }


def test_reading_tfds_imports_no_tensorflow_and_prints_nothing(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    read_tfds(folders["tfds"], "rte", "train")
    read_hub(str(folders["hub"]), "rte", "train")
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert "tensorflow" not in sys.modules


def hub_table(folder: Path, labels: list[Any], names: list[str] | None) -> str:
    """An RTE of the hub's layout with these labels."""
    datasets = importlib.import_module("datasets")
    kind = datasets.Value("int64") if names is None else datasets.ClassLabel(names=names)
    texts = [f"text {number}" for number in range(len(labels))]
    dataset = datasets.Dataset.from_dict(
        {"sentence1": texts, "sentence2": texts, "label": labels},
        features=datasets.Features(
            sentence1=datasets.Value("string"), sentence2=datasets.Value("string"), label=kind
        ),
    )
    (folder / "rte").mkdir(parents=True)
    dataset.to_parquet(folder / "rte" / "train-00000-of-00001.parquet")
    return str(folder)


def test_labels_are_mapped_by_name_where_they_are_numbered_otherwise(tmp_path: Path) -> None:
    folder = hub_table(tmp_path / "hub", [0, 1, 1], ["not_entailment", "entailment"])
    assert read_hub(folder, "rte", "train").labels == [1, 0, 0]


def test_labels_without_names_are_the_hubs_numbers(tmp_path: Path) -> None:
    folder = hub_table(tmp_path / "hub", [0, 1, 1], None)
    assert read_hub(folder, "rte", "train").labels == [0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1], ["yes", "no"], "its labels are yes, no, not entailment, not_entailment"),
        ([0, 2], None, "row 1 has the label 2, not 0 or 1"),
        ([-1, 0], ["entailment", "not_entailment"], "row 0 has the label -1"),
        ([], None, "corresponds to no data"),
    ],
)
def test_unknown_labels_and_empty_tables_are_named(
    tmp_path: Path, labels: list[int], names: list[str] | None, message: str
) -> None:
    folder = hub_table(tmp_path / "hub", labels, names)
    with pytest.raises(UserError) as raised:
        read_hub(folder, "rte", "train")
    assert message in str(raised.value)
    assert "rte" in str(raised.value)


@pytest.mark.parametrize("value", [None, 7, ["a"]])
def test_a_row_without_text_or_label_is_named(value: object) -> None:
    columns: dict[str, list[object]] = {
        "sentence1": ["a", "b"],
        "sentence2": ["c", "d"],
        "label": [0, 1],
    }
    for name in columns:
        broken = columns | {name: [columns[name][0], value]}
        with pytest.raises(UserError) as raised:
            from_columns(DATASETS["rte"], broken, None, "rte/train")
        assert str(raised.value).startswith("rte/train: row 1 "), name


def test_a_missing_score_is_named() -> None:
    columns = {"sentence1": ["a"], "sentence2": ["b"], "label": [None]}
    with pytest.raises(UserError, match=r"stsb/train: row 0 has the label None, not a number"):
        from_columns(DATASETS["stsb"], columns, None, "stsb/train")


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    folder = Path(hub_table(tmp_path / "hub", [0], None))
    (folder / "rte").rename(folder / "qnli")
    with pytest.raises(UserError, match="no column 'question'; it has label, sentence1"):
        read_hub(str(folder), "qnli", "train")


def test_a_missing_or_broken_parquet_file_is_named(tmp_path: Path) -> None:
    folder = Path(hub_table(tmp_path / "hub", [0], None))
    with pytest.raises(UserError, match=r"no validation-00000-of-00001\.parquet in .*hub/rte"):
        read_hub(str(folder), "rte", "validation")
    file = folder / "rte" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"hub/rte/train-\*\.parquet does not load: Arrow"):
        read_hub(str(folder), "rte", "train")


def test_a_hub_that_cannot_be_reached_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(UserError) as raised:
        read_hub("nyu-mll/glue", "rte", "train")
    assert "'nyu-mll/glue' is not a folder (looked in" in str(raised.value)
    assert "\n" not in str(raised.value)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1, which is read when the packages are imported."""
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(importlib.import_module(module), "HF_HUB_OFFLINE", True)


def test_offline_the_cache_of_an_earlier_download_is_used(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hub_cache(tmp_path / "cache", folders["hub"], "rte")
    offline(monkeypatch)
    examples = read_hub("nyu-mll/glue", "rte", "train")
    assert examples.labels == [label for _, label in rows_of("rte", "train")]


def test_what_is_cached_needs_no_network(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hub_cache(tmp_path / "cache", folders["hub"], "rte")
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", pytest.fail)
    examples = read_hub("nyu-mll/glue", "rte", "validation")
    assert examples.labels == [label for _, label in rows_of("rte", "validation")]


def test_a_tfds_folder_that_does_not_load_is_named(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfds = importlib.import_module("tensorflow_datasets")

    def refuse(*_arguments: Any) -> None:
        raise ConnectionError("no network\nhere")

    monkeypatch.setattr("experiments.data.glue.tfds.require_answer", lambda _url: None)
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", refuse)
    with pytest.raises(UserError) as raised:
        read_tfds(tmp_path / "empty", "rte", "train")
    message = str(raised.value)
    assert (
        f"glue/rte in {tmp_path / 'empty'}: does not load: ConnectionError: no network" in message
    )
    assert "task.tfds_dir" in message
    assert "\n" not in message
    assert folders["tfds"].is_dir()


def test_tfds_without_network_is_one_error_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_arguments: Any, **_settings: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(MissingError, match=f"glue/rte in {tmp_path}: is not there .* https://"):
        read_tfds(tmp_path, "rte", "train")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("package", "reader"),
    [
        ("datasets", lambda: read_hub("nyu-mll/glue", "rte", "train")),
        ("tensorflow_datasets.text", lambda: read_tfds(None, "rte", "train")),
        ("array_record", lambda: read_tfds(None, "rte", "train")),
    ],
)
def test_a_missing_package_is_named_with_the_extra(
    package: str, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"needs the package.* pip install '\.\[harness\]'"):
        reader()
