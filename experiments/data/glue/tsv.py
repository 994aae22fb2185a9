"""GLUE's original TSV files: with or without byte-order mark and header, without quoting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.data.glue.tasks import DATASETS, SENTENCES, Examples, Split, label_of
from experiments.errors import UserError


@dataclass(frozen=True)
class Layout:
    """The format of a data set: its folder, the columns of its texts and its label.

    `columns` are all columns in order, or None where the file has a header. `words`: labels are
    names of classes, not numbers. `broken_lines`: GLUE's own file has lines that lack fields, which
    are skipped.
    """

    folder: str
    texts: tuple[str, ...]
    label: str
    columns: tuple[str, ...] | None = None
    words: bool = False
    broken_lines: bool = False


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
    dataset, layout = DATASETS[name], LAYOUTS[name]
    # The split that hub and tfds call `validation` is GLUE's `dev`.
    file_name = dataset.split_name(split).replace("validation", "dev")
    path = root / layout.folder / f"{file_name}.tsv"
    if not path.is_file():
        raise UserError(
            f"no such file: {path}; set data_root=… (or the environment variable SLS_DATA_ROOT) "
            f"to the folder that holds glue/{layout.folder}/{path.name}, or task.source=hub, "
            "which python -m experiments prefetch … task.source=hub fetches"
        )
    lines, first = _lines(path), 1 if layout.columns else 2
    columns = layout.columns or "".join(lines[:1]).split("\t")
    for column in (*layout.texts, layout.label):
        if lines and column not in columns:
            raise UserError(
                f"{path}:1: the header has no column '{column}'; it has {', '.join(columns)}"
            )
    if len(lines) < first:
        raise UserError(f"{path}: the file holds no examples")
    known = {name if layout.words else str(n): n for n, name in enumerate(dataset.labels)}
    examples = Examples([], [])
    for number, line in enumerate(lines[first - 1 :], start=first):
        fields = line.split("\t")
        # The last line is not skipped: a truncated copy ends there.
        if layout.broken_lines and len(fields) < len(columns) and number < len(lines):
            continue
        if len(fields) != len(columns):
            raise UserError(
                f"{path}:{number}: {len(fields)} fields between tabs, not {len(columns)} "
                f"({', '.join(columns)})"
            )
        row = dict(zip(columns, fields, strict=True))
        examples.texts.append(tuple(row[column] for column in layout.texts))
        label = row[layout.label]
        examples.labels.append(label_of(label, known, f"{path}:{number}: {layout.label} is"))
    return examples


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without LF or CRLF.

    Not by `splitlines`, which would also split at U+2028 and other characters of the texts.
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
