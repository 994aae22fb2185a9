"""Where what a task fetches lies, or will lie: data, models, tokenizers, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.config import schema
from experiments.tasks.places import folder_of, root_of


class Store(NamedTuple):
    """A file or folder that a run reads, and what it is to the user."""

    what: str
    path: Path


def stores_of(
    task: schema.Task, model: schema.Model, data_root: Path | None, cache: Path | None
) -> list[Store]:
    """What is read by a run of this task and model, each path once. Nothing need be there."""
    stores = [*_data(task, data_root), *_hub_models(task, model)]
    if isinstance(task, schema.GlueTask | schema.Corpus) and cache is not None:
        stores.append(Store("tokens", cache))
    return list({store.path: store for store in reversed(stores)}.values())[::-1]


def _data(task: schema.Task, data_root: Path | None) -> Iterator[Store]:
    """The places of the data; folders of pictures are left out, to count them may take minutes."""
    match task:
        case schema.TorchvisionTask():
            from experiments.data.images.torchvision import torchvision_folder

            root = root_of(data_root, f"task '{task.dataset}'")
            yield Store("data", torchvision_folder(root, task.dataset))
        case schema.CovertypeTask() | schema.OpenMLTask():
            root = root_of(data_root, f"task '{task.kind}'")
            yield Store("data", root / "scikit_learn_data" / task.kind)
        case schema.GlueTask(source="tsv"):
            from experiments.data.glue.tsv import LAYOUTS

            root = root_of(data_root, f"task 'glue/{task.dataset}'")
            yield Store("data", root / "glue" / LAYOUTS[task.dataset].folder)
        case schema.GlueTask(source="hub"):
            yield from _hub_data(task.hub_name, task.dataset)
        case schema.GlueTask(source="tfds"):
            from experiments.data.glue.tfds import tfds_folder

            where = task.tfds_dir
            folder = None if where is None else folder_of(where, data_root, "task.tfds_dir")
            yield Store("data", tfds_folder(folder) / "glue" / task.dataset)
        case schema.Corpus(file=str(file)):
            yield Store("data", folder_of(file, data_root, "task.file"))
        case schema.Corpus(hub_name=str(name)):
            yield from _hub_data(name, task.hub_config)


def _hub_data(name: str, part: str | None) -> Iterator[Store]:
    """A folder's part; or where `datasets` keeps its tables and the hub's client its files."""
    folder = Path(name)
    if folder.is_dir():
        yield Store("data", (folder / (part or "")).absolute())
        return
    from datasets import config

    yield Store("data", Path(config.HF_DATASETS_CACHE) / name.replace("/", "___") / (part or ""))
    yield Store("data", _hub_folder(name, "dataset"))


def _hub_models(task: schema.Task, model: schema.Model) -> Iterator[Store]:
    """The models and tokenizers that are named, by the default name of a tokenizer too."""
    named = [
        ("model", getattr(model, "name", None)),
        ("tokenizer", getattr(model, "tokenizer", None)),
        ("tokenizer", getattr(task, "tokenizer", None)),
    ]
    if isinstance(task, schema.LanguageModelTask) and not any(name for _, name in named):
        from experiments.tasks.language import GPT2_TOKENIZER

        named.append(("tokenizer", GPT2_TOKENIZER))
    for what, name in named:
        if name is not None and name != "bytes":
            folder = Path(name)
            yield Store(what, folder.absolute() if folder.is_dir() else _hub_folder(name, "model"))


def _hub_folder(name: str, kind: str) -> Path:
    from huggingface_hub import constants, file_download

    folder = file_download.repo_folder_name(repo_id=name, repo_type=kind)
    return Path(constants.HF_HUB_CACHE) / folder
