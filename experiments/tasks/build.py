"""A task from the `task` and `model` sections of a config.

Rooms that import transformers are imported where they are needed: that takes seconds, and pictures
need none of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from torch import nn

from experiments import schema
from experiments.errors import UserError
from experiments.tasks.base import Task
from experiments.tasks.classification import Classification, Metric

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from experiments.data.images import ImageData

PictureModel = schema.ResNetModel | schema.ViTModel | schema.EfficientNetModel

FITTING: dict[str, tuple[type[schema.Section], ...]] = {
    **dict.fromkeys(("digits", "image_folder", "torchvision"), get_args(PictureModel)),
    **dict.fromkeys(("covertype", "openml"), (schema.MLPModel,)),
    "glue": (schema.BertModel,),
    "byte_text": (schema.GPT2Model,),
    "language_model": (schema.GPT2Model,),
    "masked_language_model": (schema.BertModel,),
}

GLUE_METRICS: dict[str, tuple[tuple[Metric, ...], Metric]] = {
    "cola": (("mcc",), "mcc"),
    "sst2": ((), "accuracy"),
    "mrpc": (("f1",), "accuracy"),
}
"""For each GLUE data set, its metrics besides accuracy and the one that decides."""


def build_task(
    task: schema.Task, model: schema.Model, *, data_root: Path | None, cache: Path | None = None
) -> Task:
    """The task, with its data read and its model built; nothing is on a device yet.

    `cache` is the folder for what is computed once from the data; None: nothing is kept.
    torch's global random numbers are used for the model's initialisation only; the caller seeds
    them. Raises `UserError` for a model that does not fit and for data that are missing or broken.
    """
    _require_fitting(task, model)
    match task, model:
        case (
            schema.DigitsTask() | schema.ImageFolderTask() | schema.TorchvisionTask(),
            schema.ResNetModel() | schema.ViTModel() | schema.EfficientNetModel(),
        ):
            data = _picture_data(task, data_root)
            return Classification(_picture_model(data, model), data.train, data.validation)
        case schema.CovertypeTask() | schema.OpenMLTask(), schema.MLPModel():
            return _table(task, model, data_root)
        case schema.GlueTask(), schema.BertModel():
            return _glue(task, model, data_root, cache)
        case schema.ByteTextTask(), schema.GPT2Model():
            from experiments.tasks.build_language import byte_text_task

            return byte_text_task(task, model)
        case schema.LanguageModelTask(), schema.GPT2Model():
            from experiments.tasks.build_language import language_model_task

            return language_model_task(task, model, data_root, cache)
        case schema.MaskedLanguageModelTask(), schema.BertModel():
            from experiments.tasks.build_language import masked_language_model_task

            return masked_language_model_task(task, model, data_root, cache)
    raise AssertionError(f"FITTING lets {model.kind} pass for {task.kind}, but nothing builds it")


def _require_fitting(task: schema.Task, model: schema.Model) -> None:
    fitting = FITTING[task.kind]
    if not isinstance(model, fitting):
        kinds = [get_args(section.model_fields["kind"].annotation)[0] for section in fitting]
        raise UserError(
            f"model '{model.kind}' does not fit task '{task.kind}'; models that do: "
            f"{', '.join(kinds)}"
        )


def _folder(folder: str, data_root: Path | None) -> Path:
    path = Path(folder).expanduser()
    return path if path.is_absolute() else _root(data_root, f"task.folder '{folder}'") / path


def _root(data_root: Path | None, needed_by: str) -> Path:
    if data_root is None:
        raise UserError(
            f"{needed_by} lies below data_root, which is not set; "
            "set data_root=… or the environment variable SLS_DATA_ROOT"
        )
    return data_root


def _picture_data(
    task: schema.DigitsTask | schema.ImageFolderTask | schema.TorchvisionTask,
    data_root: Path | None,
) -> ImageData:
    match task:
        case schema.DigitsTask():
            from experiments.data.images import digits

            return digits()
        case schema.TorchvisionTask():
            from experiments.data.torchvision_sets import torchvision_set

            root = _root(data_root, f"task '{task.dataset}'")
            return torchvision_set(root, task.dataset, augment=task.augment, download=task.download)
        case schema.ImageFolderTask():
            from experiments.data.image_folders import image_folder
            from experiments.data.images import Normalisation

            known = task.normalisation
            return image_folder(
                _folder(task.folder, data_root),
                task.size,
                task.augment,
                crop=task.crop,
                validation=task.validation,
                normalise=None if known is None else Normalisation.known(known.mean, known.std),
            )


def _picture_model(data: ImageData, model: PictureModel) -> nn.Module:
    settings = model.model_dump(exclude={"kind"})
    match model:
        case schema.ResNetModel():
            from experiments.models.resnet import ResNet

            return ResNet(**settings, in_channels=data.channels, classes=data.classes)
        case schema.EfficientNetModel():
            from experiments.models.efficientnet import EfficientNet

            return EfficientNet(**settings, in_channels=data.channels, classes=data.classes)
        case schema.ViTModel():
            from experiments.models.vit import ViT

            return ViT(**settings, size=data.size, in_channels=data.channels, classes=data.classes)


def _table(
    task: schema.CovertypeTask | schema.OpenMLTask,
    model: schema.MLPModel,
    data_root: Path | None,
) -> Classification:
    from experiments.data.tables import covertype, openml
    from experiments.models.mlp import MLP

    cache = _root(data_root, f"task '{task.kind}'") / "scikit_learn_data"
    if isinstance(task, schema.CovertypeTask):
        data = covertype(cache, download=task.download)
    else:
        data = openml(cache, task.dataset, task.version, download=task.download)
    network = MLP(
        inputs=data.features,
        width=model.width,
        layers=model.layers,
        dropout=model.dropout,
        classes=data.classes,
    )
    return Classification(network, data.train, data.validation)


def _glue(
    task: schema.GlueTask, model: schema.BertModel, data_root: Path | None, cache: Path | None
) -> Classification:
    from experiments.data.glue import read_split
    from experiments.data.text import TextSource
    from experiments.models.pretrained import load_tokenizer

    root = _root(data_root, f"task 'glue/{task.dataset}'") / "glue"
    train = read_split(root, task.dataset, "train")
    dev = read_split(root, task.dataset, "dev")
    if model.tokenizer is not None:
        tokenizer = load_tokenizer(model.tokenizer, "model.tokenizer")
    elif model.name is not None:
        tokenizer = load_tokenizer(model.name, "model.name")
    else:
        raise UserError("model.tokenizer is needed where model.name is null: a folder or hub name")
    kept = slice(task.train_examples)
    network = _bert(task, model, tokenizer)
    also, score = GLUE_METRICS[task.dataset]
    return Classification(
        network,
        TextSource(train.texts[kept], train.labels[kept], tokenizer, task.max_tokens, cache),
        TextSource(dev.texts, dev.labels, tokenizer, task.max_tokens, cache),
        also=also,
        score=score,
    )


def _bert(
    task: schema.GlueTask, model: schema.BertModel, tokenizer: PreTrainedTokenizerBase
) -> nn.Module:
    from experiments.models.bert import new_bert, pretrained_bert

    if model.name is not None:
        return pretrained_bert(
            model.name,
            vocabulary=len(tokenizer),
            layers=model.layers,
            dropout=model.dropout,
            max_tokens=task.max_tokens,
            classes=2,
        )
    return new_bert(
        vocabulary=len(tokenizer),
        padding_id=tokenizer.pad_token_id,
        width=model.width,
        layers=model.layers,
        heads=model.heads,
        dropout=model.dropout,
        max_tokens=task.max_tokens,
        classes=2,
    )
