"""GLUE's TSV files as GLUE wrote them: a byte-order mark or none, a header or none, no quoting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.errors import UserError, did_you_mean

Split = Literal["train", "dev"]


class Examples(NamedTuple):
    """The texts of each example (one, or two for pairs) and its label."""

    texts: list[tuple[str, ...]]
    labels: list[int]


@dataclass(frozen=True)
class Layout:
    """How a data set is written: its folder, its columns, the ones that are read.

    `columns` is None where the file has a header; else the columns, in order.
    """

    folder: str
    texts: tuple[str, ...]
    label: str
    columns: tuple[str, ...] | None = None


LAYOUTS = {
    "cola": Layout("CoLA", ("sentence",), "label", ("source", "label", "star", "sentence")),
    "sst2": Layout("SST-2", ("sentence",), "label"),
    "mrpc": Layout("MRPC", ("#1 String", "#2 String"), "Quality"),
}

LABELS = {"0": 0, "1": 1}


def read_split(root: Path, dataset: str, split: Split) -> Examples:
    """The examples of `root/<folder of the data set>/<split>.tsv`; `root` is `data_root/glue`.

    Raises `UserError` for a missing file, and with `path:line` for a malformed line.
    """
    if dataset not in LAYOUTS:
        raise UserError(f"unknown GLUE data set '{dataset}'{did_you_mean(dataset, LAYOUTS)}")
    layout = LAYOUTS[dataset]
    path = root / layout.folder / f"{split}.tsv"
    if not path.is_file():
        raise UserError(
            f"no such file: {path}; set data_root=… (or the environment variable SLS_DATA_ROOT) "
            f"to the folder that holds glue/{layout.folder}/{split}.tsv"
        )
    return _parse(path, _lines(path), layout)


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


def _parse(path: Path, lines: list[str], layout: Layout) -> Examples:
    first = 1 if layout.columns is not None else 2
    columns = layout.columns if layout.columns is not None else _header(path, lines, layout)
    if len(lines) < first:
        raise UserError(f"{path}: the file holds no examples")
    text_positions = [columns.index(name) for name in layout.texts]
    label_position = columns.index(layout.label)
    texts, labels = [], []
    for number, line in enumerate(lines[first - 1 :], start=first):
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise UserError(
                f"{path}:{number}: {len(fields)} fields between tabs, not {len(columns)} "
                f"({', '.join(columns)})"
            )
        label = fields[label_position]
        if label not in LABELS:
            raise UserError(f"{path}:{number}: {layout.label} is {label!r}, not 0 or 1")
        texts.append(tuple(fields[position] for position in text_positions))
        labels.append(LABELS[label])
    return Examples(texts, labels)


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
