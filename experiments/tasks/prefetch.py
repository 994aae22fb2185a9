"""Fetch what a run needs and check it: afterwards the run works without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.filesize import decimal

from experiments.settings import KindSection
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.build import build_task
from experiments.tasks.places import hub_folder, roots_of, with_folders

if TYPE_CHECKING:
    from experiments.config.schema import RunConfig


def prefetch(config: RunConfig) -> str:
    """Put data, model, tokenizer and tokens where a run of `config` looks; lists their places.

    The task is built once on the CPU, as a run builds it, and a batch of each split is made.
    Files that are there already are only checked, which needs no network.
    """
    data_root, cache = roots_of(config.data_root, config.cache_dir)
    settings = with_folders(config.task, "task", data_root)
    model = with_folders(config.model, "model", data_root)
    if hasattr(settings, "download"):
        settings = settings.model_copy(update={"download": True})
    # Each path once, under its first name: a model's folder often holds its tokenizer.
    places: dict[Path, str] = {}
    for what, path in _places(settings, model, data_root, cache):
        places.setdefault(path, what)
    before = {path: _bytes(path) for path in places}
    task = build_task(
        settings,
        model,
        data_root=data_root,
        cache=cache,
        bytes_as_text=config.quirks.bytes_as_text,
    )
    lines = []
    for path, what in places.items():
        size = _bytes(path)
        if size:
            fetched = "" if size == before[path] else f"  ({decimal(size - before[path])} new)"
            lines.append(f"{what:9}  {decimal(size):>9}  {path}{fetched}")
    return "\n".join([*lines, f"checked    {_checked(task)}"])


def _places(
    task: TaskSettings, model: KindSection, data_root: Path | None, cache: Path | None
) -> Iterator[tuple[str, Path]]:
    """The files and folders that a run reads, and what each is to the user. None need exist.

    Folders of images are left out: counting them may take minutes.
    """
    for path in task.places(data_root):
        yield "data", path
    named = [
        ("model", getattr(model, "name", None)),
        ("tokenizer", getattr(model, "tokenizer", None)),
        ("tokenizer", getattr(task, "tokenizer", None)),
    ]
    if not any(name for _, name in named):
        named.append(("tokenizer", getattr(task, "default_tokenizer", None)))
    for what, name in named:
        if name is not None and name != "bytes":
            folder = Path(name)
            yield what, folder.absolute() if folder.is_dir() else hub_folder(name, "model")
    if task.keeps_tokens and cache is not None:
        yield "tokens", cache


def _checked(task: Task) -> str:
    """Makes a small batch of each split; returns how much there is."""
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
