"""GLUE's nine tasks: columns, labels and splits, numbered and named as on the Hugging Face hub.

Reference: Wang et al., *GLUE* (ICLR 2019). The readers of the three sources, `glue_tsv`, `glue_hub`
and `glue_tfds`, give the same texts and labels, in the same order, for the same split.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from experiments.data.rows import require_text
from experiments.errors import UserError, did_you_mean

Split = Literal["train", "validation", "mismatched"]
"""`validation` is the matched one where there are two (MNLI); `mismatched` is the other."""

LOWEST_SCORE, HIGHEST_SCORE = 0.0, 5.0
"""What a score, the label of STS-B, lies between."""


class Examples(NamedTuple):
    """The texts of each example (one, or two for pairs) and its label, a class or a score."""

    texts: list[tuple[str, ...]]
    labels: list[int] | list[float]


@dataclass(frozen=True)
class Dataset:
    """A task of GLUE.

    `texts` are the columns of hub and tfds. `labels` are the names of the classes in the order of
    the hub's numbers; none where the label is a score.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    validation: str = "validation"
    mismatched: str | None = None

    @property
    def outputs(self) -> int:
        """The numbers that a model gives for an example: one a class, or the score."""
        return len(self.labels) or 1

    def split_name(self, split: Split) -> str:
        """The name of a split on the hub and in tfds."""
        name = {"train": "train", "validation": self.validation, "mismatched": self.mismatched}
        found = name[split]
        if found is None:
            raise ValueError(f"there is no split '{split}'")
        return found


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


def dataset_named(name: str) -> Dataset:
    """The task `name`; `UserError` with the nearest name if there is none."""
    if name not in DATASETS:
        raise UserError(f"unknown GLUE data set '{name}'{did_you_mean(name, DATASETS)}")
    return DATASETS[name]


def from_columns(
    dataset: Dataset,
    columns: Mapping[str, Sequence[Any]],
    label_names: Sequence[str] | None,
    where: str,
) -> Examples:
    """The examples that a table of hub or tfds holds, its labels mapped by name to the hub's.

    `label_names` are the names of the table's own numbers; None: they are the hub's. `where` is the
    table, for messages. Raises `UserError` for missing columns, no rows and unknown labels.
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
    if dataset.labels:
        return Examples(texts, _classes(dataset, columns["label"], label_names, where))
    return Examples(texts, _scores(columns["label"], where))


def _classes(
    dataset: Dataset, labels: Sequence[Any], names: Sequence[str] | None, where: str
) -> list[int]:
    ours = dataset.labels
    theirs = ours if names is None else names
    if sorted(theirs) != sorted(ours):
        raise UserError(f"{where}: its labels are {', '.join(theirs)}, not {', '.join(ours)}")
    number = {theirs.index(name): ours.index(name) for name in ours}
    for row, label in enumerate(labels):
        if not isinstance(label, Hashable) or label not in number:
            raise UserError(f"{where}: row {row} has the label {label!r}, which has no name")
    return [number[label] for label in labels]


def _scores(labels: Sequence[Any], where: str) -> list[float]:
    for row, label in enumerate(labels):
        if not is_score(label):
            raise UserError(f"{where}: row {row} has the label {label!r}, not a number from 0 to 5")
    return [float(label) for label in labels]


def is_score(label: Any) -> bool:
    """True for a number between the lowest and the highest score."""
    try:
        return LOWEST_SCORE <= float(label) <= HIGHEST_SCORE
    except (TypeError, ValueError):
        return False
