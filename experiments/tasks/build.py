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
from experiments.tasks.language_modelling import LanguageModelling
from experiments.tasks.regression import Regression

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from experiments.data.glue import Examples, Split
    from experiments.data.images import ImageData
    from experiments.models.text_classifier import Kind

FITTING: dict[str, tuple[type[schema.Section], ...]] = {
    "digits": (schema.ResNetModel, schema.ViTModel),
    "image_folder": (schema.ResNetModel, schema.ViTModel),
    "glue": (
        schema.BertModel,
        schema.RobertaModel,
        schema.DistilBertModel,
        schema.GPT2ClassifierModel,
    ),
    "byte_text": (schema.GPT2Model,),
}

GLUE_METRICS: dict[str, tuple[tuple[Metric, ...], Metric]] = {
    "cola": (("mcc",), "mcc"),
    "sst2": ((), "accuracy"),
    "mrpc": (("f1",), "accuracy"),
    "qqp": (("f1",), "accuracy"),
    "mnli": ((), "accuracy"),
    "qnli": ((), "accuracy"),
    "rte": ((), "accuracy"),
    "wnli": ((), "accuracy"),
}
"""For each GLUE data set with classes, its metrics besides accuracy and the one that decides."""


CLASSIFIER_KINDS: dict[type[schema.Section], Kind] = {
    schema.BertModel: "bert",
    schema.RobertaModel: "roberta",
    schema.DistilBertModel: "distilbert",
    schema.GPT2ClassifierModel: "gpt2",
}
"""transformers' name of each text classifier's kind."""


def build_task(task: schema.Task, model: schema.Model, *, data_root: Path | None) -> Task:
    """The task, with its data read and its model built; nothing is on a device yet.

    torch's global random numbers are used for the model's initialisation only; the caller seeds
    them. Raises `UserError` for a model that does not fit and for data that are missing or broken.
    """
    _require_fitting(task, model)
    match task, model:
        case schema.DigitsTask(), schema.ResNetModel() | schema.ViTModel():
            from experiments.data.images import digits

            return _pictures(digits(), model)
        case schema.ImageFolderTask(), schema.ResNetModel() | schema.ViTModel():
            from experiments.data.images import image_folder

            folder = _folder(task.folder, data_root)
            return _pictures(image_folder(folder, task.size, task.augment), model)
        case schema.GlueTask(), schema.TextClassifierModel():
            return _glue(task, model, data_root)
        case schema.ByteTextTask(), schema.GPT2Model():
            return _byte_text(task, model)
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


def _folder(folder: str, data_root: Path | None, key: str = "task.folder") -> Path:
    path = Path(folder).expanduser()
    return path if path.is_absolute() else _root(data_root, f"{key} '{folder}'") / path


def _root(data_root: Path | None, needed_by: str) -> Path:
    if data_root is None:
        raise UserError(
            f"{needed_by} lies below data_root, which is not set; "
            "set data_root=… or the environment variable SLS_DATA_ROOT"
        )
    return data_root


def _pictures(data: ImageData, model: schema.ResNetModel | schema.ViTModel) -> Classification:
    network: nn.Module
    match model:
        case schema.ResNetModel():
            from experiments.models.resnet import CifarResNet

            network = CifarResNet(
                depth=model.depth,
                width=model.width,
                in_channels=data.channels,
                classes=data.classes,
            )
        case schema.ViTModel():
            from experiments.models.vit import ViT

            network = ViT(
                size=data.size,
                patch=model.patch,
                width=model.width,
                layers=model.layers,
                heads=model.heads,
                dropout=model.dropout,
                in_channels=data.channels,
                classes=data.classes,
            )
    return Classification(network, data.train, data.validation)


def _glue(
    task: schema.GlueTask, model: schema.TextClassifierModel, data_root: Path | None
) -> Classification | Regression:
    from experiments.data.glue import DATASETS
    from experiments.data.text import TextSource, marked_for_causal

    dataset = DATASETS[task.dataset]
    # Data first: they are found missing at once, a model may have to be fetched.
    train = _glue_split(task, "train", data_root)
    validation = _glue_split(task, "validation", data_root)
    also = {}
    if dataset.mismatched is not None:
        also["mm"] = _glue_split(task, "mismatched", data_root)
    tokenizer = _tokenizer(model)
    causal = isinstance(model, schema.GPT2ClassifierModel)

    def source(examples: Examples, kept: slice = slice(None)) -> TextSource:
        texts = examples.texts[kept]
        if causal:
            texts = marked_for_causal(texts, tokenizer.eos_token)
        return TextSource(texts, examples.labels[kept], tokenizer, task.max_tokens)

    network = _text_classifier(task, model, tokenizer, dataset.outputs)
    sources = source(train, slice(task.train_examples)), source(validation)
    if not dataset.labels:
        return Regression(network, *sources)
    metrics, score = GLUE_METRICS[task.dataset]
    return Classification(
        network,
        *sources,
        also=metrics,
        score=score,
        also_validation={suffix: source(examples) for suffix, examples in also.items()},
    )


def _glue_split(task: schema.GlueTask, split: Split, data_root: Path | None) -> Examples:
    match task.source:
        case "tsv":
            from experiments.data.glue_tsv import read_tsv

            root = _root(data_root, f"task 'glue/{task.dataset}'") / "glue"
            return read_tsv(root, task.dataset, split)
        case "hub":
            from experiments.data.glue_hub import read_hub

            return read_hub(task.hub_name, task.dataset, split)
        case "tfds":
            from experiments.data.glue_tfds import read_tfds

            folder = task.tfds_dir
            where = None if folder is None else _folder(folder, data_root, "task.tfds_dir")
            return read_tfds(where, task.dataset, split)


def _tokenizer(model: schema.TextClassifierModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token."""
    from experiments.models.pretrained import load_tokenizer

    causal = isinstance(model, schema.GPT2ClassifierModel)
    name, key = model.tokenizer, "model.tokenizer"
    if name is None:
        name, key = model.name, "model.name"
    if name is None:
        raise UserError("model.tokenizer is needed where model.name is null: a folder or hub name")
    tokenizer = load_tokenizer(name, key, "gpt2" if causal else None)
    if causal and tokenizer.eos_token is None:
        raise UserError(
            f"{key}: the tokenizer '{name}' has no end-of-text token, which GPT-2 needs"
        )
    if causal:
        tokenizer.pad_token = tokenizer.eos_token
    elif tokenizer.pad_token is None:
        raise UserError(
            f"{key}: the tokenizer '{name}' has no padding token; it is not one of a "
            f"'{_kind(type(model))}'"
        )
    return tokenizer


def _text_classifier(
    task: schema.GlueTask,
    model: schema.TextClassifierModel,
    tokenizer: PreTrainedTokenizerBase,
    outputs: int,
) -> nn.Module:
    from experiments.models.text_classifier import Wanted, new_classifier, pretrained_classifier

    wanted = Wanted(
        kind=CLASSIFIER_KINDS[type(model)],
        head=model.head,
        vocabulary=len(tokenizer),
        padding_id=tokenizer.pad_token_id,
        layers=model.layers,
        dropout=model.dropout,
        max_tokens=task.max_tokens,
        classes=outputs,
    )
    if model.name is not None:
        return pretrained_classifier(model.name, wanted)
    return new_classifier(model.width, model.heads, wanted)


def _byte_text(task: schema.ByteTextTask, model: schema.GPT2Model) -> LanguageModelling:
    from experiments.data.byte_text import byte_text
    from experiments.models.gpt2 import new_gpt2, pretrained_gpt2

    train, validation = byte_text(task.block)
    if model.name is None:
        network = new_gpt2(
            block=task.block,
            width=model.width,
            layers=model.layers,
            heads=model.heads,
            dropout=model.dropout,
        )
    else:
        network = pretrained_gpt2(
            model.name, block=task.block, layers=model.layers, dropout=model.dropout
        )
    return LanguageModelling(network, train, validation)
