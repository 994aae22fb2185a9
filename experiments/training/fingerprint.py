"""What a task's data are, in a few numbers, and what has changed between two times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from experiments.data.base import Source, contents_of
from experiments.data.contents import digest
from experiments.tasks.base import Task

Fingerprint = dict[str, Any]


def data_fingerprint(task: Task) -> Fingerprint:
    """For each split its number of examples and classes, an example's sizes, a digest of all.

    Raises:
        UserError: if the data cannot be read any more.
    """
    also = {f"validation_{suffix}": source for suffix, source in task.also_validation.items()}
    splits = {"train": task.train, "validation": task.validation, **also}
    return {name: _split(source) for name, source in splits.items()}


def _split(source: Source) -> Fingerprint:
    example = source.batch(torch.tensor([0]), None)
    found: Fingerprint = {"examples": len(source)}
    labels = getattr(source, "labels", None)
    if labels is not None and labels.dtype == torch.int64:
        found["classes"] = len(labels.unique())
    found["example"] = {name: list(example[name].shape[1:]) for name in sorted(example)}
    found["digest"] = digest(contents_of(source))
    return found


def changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """What is not the same in two fingerprints, each as `train examples: 64, now 128`.

    What only one of the two has is left out: versions of this code know different things.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in before:
            if key in now:
                yield from changes(before[key], now[key], f"{name} {key}".strip())
    elif before != now:
        yield f"{name}: {before}, now {now}"
