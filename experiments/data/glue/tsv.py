"""GLUE's TSV files as GLUE wrote them: a byte-order mark or none, a header or none, no quoting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.data.glue.tasks import Dataset, Examples, Split, dataset_named, is_score
from experiments.errors import UserError


@dataclass(frozen=True)
class Layout:
    """How a data set is written: its folder, its columns, the ones that are read.

    `columns` is None where the file has a header; else the columns, in order. `words`: labels are
    the names of the classes, not numbers. `broken_lines`: GLUE's own file has lines that lack
    fields, which are no examples.
    """

    folder: str
    texts: tuple[str, ...]
    label: str
    columns: tuple[str, ...] | None = None
    words: bool = False
    broken_lines: bool = False


SENTENCES = ("sentence1", "sentence2")

LAYOUTS = {
    "cola": Layout("CoLA", ("sentence",), "label", ("source", "label", "star", "sentence")),
    "sst2": Layout("SST-2", ("sentence",), "label"),
    "mrpc": Layout("MRPC", ("#1 String", "#2 String"), "Quality"),
    "stsb": Layout("STS-B", SENTENCES, "score"),
    # A few of its questions hold line feeds; hub and tfds leave out what then lacks a label.
    "qqp": Layout("QQP", ("question1", "question2"), "is_duplicate", broken_lines=True),
    "mnli": Layout("MNLI", SENTENCES, "gold_label", words=True),
    "qnli": Layout("QNLI", ("question", "sentence"), "label", words=True),
    "rte": Layout("RTE", SENTENCES, "label", words=True),
    "wnli": Layout("WNLI", SENTENCES, "label"),
}


def read_tsv(root: Path, name: str, split: Split) -> Examples:
    """The examples of `root/<folder of the data set>/<split>.tsv`; `root` is `data_root/glue`.

    Raises `UserError` for a missing file, and with `path:line` for a malformed line.
    """
    dataset = dataset_named(name)
    layout = LAYOUTS[name]
    path = root / layout.folder / f"{_file_name(dataset, split)}.tsv"
    if not path.is_file():
        raise UserError(
            f"no such file: {path}; set data_root=… (or the environment variable SLS_DATA_ROOT) "
            f"to the folder that holds glue/{layout.folder}/{path.name}, or task.source=hub, "
            "which python -m experiments prefetch … task.source=hub fetches"
        )
    return _parse(path, _lines(path), layout, dataset)


def _file_name(dataset: Dataset, split: Split) -> str:
    """GLUE's `dev` is what hub and tfds call `validation`."""
    return dataset.split_name(split).replace("validation", "dev")


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without LF or CRLF.

    Not `splitlines`, which would also split at U+2028 and other characters of the texts.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # `error.object` lacks the byte-order mark that `data` may begin with.
        start = error.start + len(data) - len(error.object)
        line = data.count(b"\n", 0, start) + 1
        raise UserError(f"{path}:{line}: not UTF-8: {error.reason}") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _parse(path: Path, lines: list[str], layout: Layout, dataset: Dataset) -> Examples:
    first = 1 if layout.columns is not None else 2
    columns = layout.columns if layout.columns is not None else _header(path, lines, layout)
    text_positions = [columns.index(name) for name in layout.texts]
    label_position = columns.index(layout.label)
    known = _known_labels(layout, dataset)
    texts: list[tuple[str, ...]] = []
    labels: list[Any] = []
    for number, line in enumerate(lines[first - 1 :], start=first):
        fields = line.split("\t")
        # The last line is not passed over: it is where a truncated copy ends.
        if layout.broken_lines and len(fields) < len(columns) and number < len(lines):
            continue
        if len(fields) != len(columns):
            raise UserError(
                f"{path}:{number}: {len(fields)} fields between tabs, not {len(columns)} "
                f"({', '.join(columns)})"
            )
        text = fields[label_position]
        if text in known:
            labels.append(known[text])
        elif not known and is_score(text):
            labels.append(float(text))
        else:
            wanted = " or ".join(known) if known else "a number from 0 to 5"
            raise UserError(f"{path}:{number}: {layout.label} is {text!r}, not {wanted}")
        texts.append(tuple(fields[position] for position in text_positions))
    if not texts:
        raise UserError(f"{path}: the file holds no examples")
    return Examples(texts, labels)


def _known_labels(layout: Layout, dataset: Dataset) -> dict[str, int]:
    """The hub's number for each label as it is written; empty where the label is a score."""
    return {
        name if layout.words else str(number): number for number, name in enumerate(dataset.labels)
    }


def _header(path: Path, lines: list[str], layout: Layout) -> tuple[str, ...]:
    if not lines:
        raise UserError(f"{path}: the file is empty")
    columns = tuple(lines[0].split("\t"))
    for name in (*layout.texts, layout.label):
        if name not in columns:
            raise UserError(
                f"{path}:1: the header has no column '{name}'; it has {', '.join(columns)}"
            )
    return columns
