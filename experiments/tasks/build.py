"""A task from the `task` and `model` sections of a config: which builder takes it.

Builders that import transformers are imported where they are needed: that takes seconds, and
pictures need none of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from experiments.config import schema
from experiments.errors import UserError
from experiments.tasks.base import Task
from experiments.tasks.images import PictureModel, picture_task, table_task
from experiments.tasks.places import with_folders

FITTING: dict[str, tuple[type[schema.Section], ...]] = {
    **dict.fromkeys(("digits", "image_folder", "torchvision"), get_args(PictureModel)),
    **dict.fromkeys(("covertype", "openml"), (schema.MLPModel,)),
    "glue": (
        schema.BertModel,
        schema.RobertaModel,
        schema.DistilBertModel,
        schema.GPT2ClassifierModel,
    ),
    "byte_text": (schema.GPT2Model,),
    "language_model": (schema.GPT2Model,),
    "masked_language_model": (schema.BertModel,),
}


def build_task(
    task: schema.Task,
    model: schema.Model,
    *,
    data_root: Path | None,
    cache: Path | None = None,
    bytes_as_text: bool = False,
) -> Task:
    """The task, with its data read and its model built; nothing is on a device yet.

    `cache` is the folder for what is computed once from the data; None: nothing is kept.
    torch's global random numbers are used for the model's initialisation only; the caller seeds
    them. `bytes_as_text` gives GLUE's texts as Python shows their bytes. Raises `UserError` for a
    model that does not fit and for data that are missing or broken.
    """
    _require_fitting(task, model)
    task = with_folders(task, "task", data_root)
    model = with_folders(model, "model", data_root)
    match task, model:
        case (
            schema.DigitsTask() | schema.ImageFolderTask() | schema.TorchvisionTask(),
            schema.ResNetModel()
            | schema.ViTModel()
            | schema.EfficientNetModel()
            | schema.MLPModel(),
        ):
            return picture_task(task, model, data_root)
        case schema.CovertypeTask() | schema.OpenMLTask(), schema.MLPModel():
            return table_task(task, model, data_root)
        case schema.GlueTask(), schema.TextClassifierModel():
            from experiments.tasks.glue import glue_task

            return glue_task(task, model, data_root, cache, bytes_as_text=bytes_as_text)
        case schema.ByteTextTask(), schema.GPT2Model():
            from experiments.tasks.language import byte_text_task

            return byte_text_task(task, model)
        case schema.LanguageModelTask(), schema.GPT2Model():
            from experiments.tasks.language import language_model_task

            return language_model_task(task, model, data_root, cache)
        case schema.MaskedLanguageModelTask(), schema.BertModel():
            from experiments.tasks.language import masked_language_model_task

            return masked_language_model_task(task, model, data_root, cache)
    raise AssertionError(f"FITTING lets {model.kind} pass for {task.kind}, but nothing builds it")


def _require_fitting(task: schema.Task, model: schema.Model) -> None:
    fitting = FITTING[task.kind]
    if not isinstance(model, fitting):
        raise UserError(
            f"model '{model.kind}' does not fit task '{task.kind}'; models that do: "
            f"{', '.join(map(_kind, fitting))}"
        )


def _kind(section: type[schema.Section]) -> str:
    kind: str = get_args(section.model_fields["kind"].annotation)[0]
    return kind
