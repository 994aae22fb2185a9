"""Fetch what a run needs and check it: afterwards the run works without a network."""

from __future__ import annotations

from pathlib import Path

import torch

from experiments.config.schema import RunConfig
from experiments.tasks.base import Task
from experiments.tasks.build import build_task
from experiments.tasks.places import roots_of, with_folders
from experiments.tasks.stores import stores_of


def prefetch(config: RunConfig) -> str:
    """Put data, model, tokenizer and tokens where a run of `config` looks; says what lies where.

    The task is built once on the CPU, as a run builds it, and a batch of each split is made.
    What is there already is only checked, and needs no network.

    Raises:
        UserError: for what is missing and cannot be fetched, is broken, or does not fit.
    """
    data_root, cache = roots_of(config.data_root, config.cache_dir)
    section = with_folders(config.task, "task", data_root)
    model = with_folders(config.model, "model", data_root)
    if hasattr(section, "download"):
        section = section.model_copy(update={"download": True})
    stores = stores_of(section, model, data_root, cache)
    before = [_bytes(store.path) for store in stores]
    task = build_task(
        section,
        model,
        data_root=data_root,
        cache=cache,
        bytes_as_text=config.quirks.bytes_as_text,
    )
    lines = []
    for store, old in zip(stores, before, strict=True):
        new = _bytes(store.path)
        if new:
            fetched = "" if new == old else f"  ({_size(new - old)} new)"
            lines.append(f"{store.what:9}  {_size(new):>9}  {store.path}{fetched}")
    return "\n".join([*lines, f"checked    {_checked(task)}"])


def _checked(task: Task) -> str:
    """Makes a small batch of each split; says how much there is."""
    splits = {"training": task.train, "validation": task.validation}
    splits |= {f"validation ({name})": split for name, split in task.also_validation.items()}
    for split in splits.values():
        split.batch(torch.arange(min(2, len(split))), None)
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    counts = [f"{len(split):,} {name}" for name, split in splits.items()]
    return f"{', '.join(counts)} examples; a model of {parameters:,} parameters"


def _bytes(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links, as the hub's cache has, are 0."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def _size(count: float) -> str:
    """`1234567` → `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
