"""A small GLUE, all nine tasks, written three times: as GLUE's zip, as on the hub, as by tfds."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import pytest

ROWS = 12
SPLITS = ("train", "validation")
CURIOUS = ['an "unbalanced quote', "accents: é, ü, 東京", "two  spaces ", "a, comma; 'quotes'"]

# Folder, header (None: none), and the columns of texts and label, of GLUE's zip.
TSV: dict[str, tuple[str, str | None, list[str]]] = {
    "cola": ("CoLA", None, ["source", "label", "star", "sentence"]),
    "sst2": ("SST-2", "sentence label", []),
    "mrpc": ("MRPC", "Quality|#1 ID|#2 ID|#1 String|#2 String", []),
    "stsb": (
        "STS-B",
        "index genre filename year old_index source1 source2 sentence1 sentence2 score",
        [],
    ),
    "qqp": ("QQP", "id qid1 qid2 question1 question2 is_duplicate", []),
    "mnli": (
        "MNLI",
        "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse "
        "sentence1_parse sentence2_parse sentence1 sentence2 label1 gold_label",
        [],
    ),
    "qnli": ("QNLI", "index question sentence label", []),
    "rte": ("RTE", "index sentence1 sentence2 label", []),
    "wnli": ("WNLI", "index sentence1 sentence2 label", []),
}
# The columns and the labels of the hub, in the order of its numbers.
HUB: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "stsb": (("sentence1", "sentence2"), ()),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "wnli": (("sentence1", "sentence2"), ("not_entailment", "entailment")),
}
TASKS = list(HUB)
IN_WORDS = ("mnli", "qnli", "rte")


def splits_of(name: str) -> tuple[str, ...]:
    """The splits as the hub names them."""
    if name == "mnli":
        return ("train", "validation_matched", "validation_mismatched")
    return SPLITS


def rows_of(name: str, split: str) -> list[tuple[tuple[str, ...], Any]]:
    """The texts and the label (the hub's number) of each example."""
    columns, labels = HUB[name]
    rows = []
    for number in range(ROWS):
        texts = tuple(
            f"{name} {split} {number} {CURIOUS[(number + place) % len(CURIOUS)]}"
            for place in range(len(columns))
        )
        label = number % len(labels) if labels else round(0.4 * number, 1)
        rows.append((texts, label))
    return rows


def write_tsv(root: Path) -> Path:
    """`root/<folder>/<split>.tsv` for all nine tasks, as in GLUE's zip; returns `root`."""
    for name in TASKS:
        folder, header, columns = TSV[name]
        (root / folder).mkdir(parents=True)
        if header is not None:
            columns = header.split("|" if "|" in header else " ")
        for split in splits_of(name):
            lines = [] if header is None else ["\t".join(columns)]
            for number, (texts, label) in enumerate(rows_of(name, split)):
                lines.append("\t".join(_fields(name, columns, number, texts, label)))
            path = root / folder / f"{split.replace('validation', 'dev')}.tsv"
            path.write_bytes(("\n".join(lines) + "\n").encode())
    return root


def _fields(
    name: str, columns: list[str], number: int, texts: tuple[str, ...], label: Any
) -> list[str]:
    written = HUB[name][1][label] if name in IN_WORDS else str(label)
    names = {"sentence", "sentence1", "sentence2", "#1 String", "#2 String", "question"}
    waiting = list(texts)
    fields = []
    for column in columns:
        if column in names | {"question1", "question2"}:
            fields.append(waiting.pop(0))
        elif column in ("label", "Quality", "score", "is_duplicate", "gold_label"):
            fields.append(written)
        else:
            fields.append(f"{column}{number}")
    return fields


def write_hub(root: Path, tasks: list[str] = TASKS) -> Path:
    """`root/<name>/<split>-00000-of-00001.parquet`, as nyu-mll/glue has them; returns `root`."""
    datasets = pytest.importorskip("datasets")
    for name in tasks:
        columns, labels = HUB[name]
        kind = datasets.ClassLabel(names=list(labels)) if labels else datasets.Value("float32")
        features = {column: datasets.Value("string") for column in columns}
        features |= {"label": kind, "idx": datasets.Value("int32")}
        (root / name).mkdir(parents=True)
        for split in splits_of(name):
            rows = rows_of(name, split)
            table: dict[str, list[Any]] = {
                column: [texts[place] for texts, _ in rows] for place, column in enumerate(columns)
            }
            table |= {"label": [label for _, label in rows], "idx": list(range(ROWS))}
            dataset = datasets.Dataset.from_dict(table, features=datasets.Features(features))
            dataset.to_parquet(root / name / f"{split}-00000-of-00001.parquet")
    return root


def write_hub_cache(cache: Path, hub: Path, name: str) -> None:
    """Written by `datasets` from the folder `hub`, and named as the cache of `nyu-mll/glue`."""
    datasets = importlib.import_module("datasets")
    files = {split: str(hub / name / f"{split}-00000-of-00001.parquet") for split in SPLITS}
    made = cache.with_name("made")
    builder = datasets.load_dataset_builder("parquet", name, data_files=files, cache_dir=str(made))
    builder.download_and_prepare()
    place = cache / "nyu-mll___glue" / name / "0.0.0" / "0123456789abcdef"
    place.parent.mkdir(parents=True)
    Path(builder.cache_dir).rename(place)
    for file in place.glob("parquet-*"):
        file.rename(place / file.name.replace("parquet-", "glue-"))


def write_tfds(
    root: Path, tsv: Path, monkeypatch: pytest.MonkeyPatch, tasks: list[str] = TASKS
) -> Path:
    """What tensorflow-datasets itself makes of the TSV files, as if downloaded; returns `root`."""
    pytest.importorskip("tensorflow_datasets.text")
    tfds = pytest.importorskip("tensorflow_datasets")
    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", lambda _self, _url: str(tsv))
    monkeypatch.setattr(manager, "download", lambda _self, _urls: _mrpc_parts(tsv))
    tfds.disable_progress_bar()
    for name in tasks:
        _without_test(tfds, monkeypatch)
        builder = tfds.builder(f"glue/{name}", data_dir=root, file_format="array_record")
        builder.download_and_prepare(file_format="array_record")
    return root


def _without_test(tfds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """tfds also makes the test splits, which have no labels; there are none here."""
    cls = tfds.builder_cls("glue")
    original = cls._split_generators
    if getattr(original, "without_test", False):
        return

    def generators(self: Any, manager: Any) -> list[Any]:
        return [part for part in original(self, manager) if not part.name.startswith("test")]

    generators.without_test = True  # type: ignore[attr-defined]
    monkeypatch.setattr(cls, "_split_generators", generators)


def _mrpc_parts(tsv: Path) -> dict[str, str]:
    """tfds makes MRPC of Microsoft's own file (train and validation in one) and a list of ids."""
    parts = {split: (tsv / "MRPC" / f"{split}.tsv").read_text() for split in ("train", "dev")}
    header, *dev = parts["dev"].splitlines()
    # The ids of both splits begin at 0 in these small files; here they must differ.
    dev = [line.replace("#1 ID", "#1 IDdev") for line in dev]
    whole = tsv / "msr_paraphrase_train.txt"
    lines = [header, *parts["train"].splitlines()[1:], *dev]
    whole.write_bytes(b"\xef\xbb\xbf" + ("\n".join(lines) + "\n").encode())
    ids = tsv / "mrpc_dev_ids.tsv"
    with ids.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(line.split("\t")[1:3] for line in dev)
    return {"train": str(whole), "dev_ids": str(ids), "test": str(whole)}
