"""GLUE's nine tasks: columns, labels and splits, numbered and named as on the Hugging Face hub.

Reference: Wang et al., *GLUE* (ICLR 2019). The readers of the three sources, `tsv`, `hub` and
`tfds`, give the same texts and labels, in the same order, for the same split.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from experiments.data.base import require_text
from experiments.errors import UserError

Split = Literal["train", "validation", "mismatched"]
"""`validation` is the matched one where there are two (MNLI); `mismatched` is the other."""


class Examples(NamedTuple):
    """The texts of each example (one, or two for pairs) and its label, a class or a score."""

    texts: list[tuple[str, ...]]
    labels: list[int] | list[float]


@dataclass(frozen=True)
class Dataset:
    """A task of GLUE.

    `texts` are the columns of hub and tfds. `labels` are the names of the classes in the order of
    the hub's numbers; empty where the label is a score from 0 to 5.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    validation: str = "validation"
    mismatched: str | None = None

    @property
    def outputs(self) -> int:
        """The size of a model's output: one number per class, or the score."""
        return len(self.labels) or 1

    def split_name(self, split: Split) -> str:
        """The name of a split on the hub and in tfds."""
        name = {"train": "train", "validation": self.validation, "mismatched": self.mismatched}
        return name[split] or split


SENTENCES = ("sentence1", "sentence2")
ENTAILED = ("entailment", "not_entailment")

DATASETS = {
    "cola": Dataset(("sentence",), ("unacceptable", "acceptable")),
    "sst2": Dataset(("sentence",), ("negative", "positive")),
    "mrpc": Dataset(SENTENCES, ("not_equivalent", "equivalent")),
    "stsb": Dataset(SENTENCES, ()),
    "qqp": Dataset(("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": Dataset(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        "validation_matched",
        "validation_mismatched",
    ),
    "qnli": Dataset(("question", "sentence"), ENTAILED),
    "rte": Dataset(SENTENCES, ENTAILED),
    "wnli": Dataset(SENTENCES, ENTAILED[::-1]),
}


def from_columns(
    dataset: Dataset,
    columns: Mapping[str, Sequence[Any]],
    label_names: Sequence[str] | None,
    where: str,
) -> Examples:
    """The examples of a table of hub or tfds, with the hub's numbers as labels.

    `label_names` are the names of the table's own numbers; None: they are the hub's. `where` names
    the table in messages. Raises `UserError` for missing columns, no rows and unknown labels.
    """
    for name in (*dataset.texts, "label"):
        if name not in columns:
            raise UserError(f"{where}: no column '{name}'; it has {', '.join(sorted(columns))}")
    if not len(columns["label"]):
        raise UserError(f"{where}: it holds no examples")
    texts: list[tuple[str, ...]] = list(zip(*(columns[n] for n in dataset.texts), strict=True))
    for row, text in enumerate(texts):
        for part in text:
            require_text(part, where, row)
    ours = dataset.labels
    theirs = ours if label_names is None or not ours else label_names
    if sorted(theirs) != sorted(ours):
        raise UserError(f"{where}: its labels are {', '.join(theirs)}, not {', '.join(ours)}")
    known = {number: ours.index(name) for number, name in enumerate(theirs)}
    rows = enumerate(columns["label"])
    labels = [label_of(label, known, f"{where}: row {row} has the label") for row, label in rows]
    return Examples(texts, labels)


def label_of(label: Any, known: Mapping[Any, int], where: str) -> Any:
    """The number of a class that is a key of `known`; where `known` is empty, the score.

    Any other label is a `UserError` that begins with `where`.
    """
    if isinstance(label, Hashable) and label in known:
        return known[label]
    if not known:
        with suppress(TypeError, ValueError):
            if 0 <= float(label) <= 5:
                return float(label)
    wanted = " or ".join(map(str, known)) or "a number from 0 to 5"
    raise UserError(f"{where} {label!r}, not {wanted}")
