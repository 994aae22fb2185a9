"""GLUE's tasks from the `task` and `model` sections of a config."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from experiments.config import schema
from experiments.data.glue.tasks import DATASETS, Examples, Split
from experiments.data.text.classified import TextSource, marked_for_causal, read_as_bytes
from experiments.errors import UserError
from experiments.models.families import Kind
from experiments.models.pretrained import load_tokenizer
from experiments.models.text_classifier import Wanted, new_classifier, pretrained_classifier
from experiments.tasks.classification import Classification, Metric
from experiments.tasks.places import folder_of, root_of
from experiments.tasks.regression import Regression

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


def glue_task(
    task: schema.GlueTask,
    model: schema.TextClassifierModel,
    data_root: Path | None,
    cache: Path | None,
    *,
    bytes_as_text: bool = False,
) -> Classification | Regression:
    """One of GLUE's nine tasks, read from `task.source`; tokens are kept in `cache`.

    With `bytes_as_text` every text is taken as Python shows its bytes, `b'…'`.
    """
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
        if bytes_as_text:
            texts = read_as_bytes(texts)
        if causal:
            texts = marked_for_causal(texts, tokenizer.eos_token)
        return TextSource(texts, examples.labels[kept], tokenizer, task.max_tokens, cache)

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
            from experiments.data.glue.tsv import read_tsv

            root = root_of(data_root, f"task 'glue/{task.dataset}'") / "glue"
            return read_tsv(root, task.dataset, split)
        case "hub":
            from experiments.data.glue.hub import read_hub

            return read_hub(task.hub_name, task.dataset, split)
        case "tfds":
            from experiments.data.glue.tfds import read_tfds

            folder = task.tfds_dir
            where = None if folder is None else folder_of(folder, data_root, "task.tfds_dir")
            return read_tfds(where, task.dataset, split)


def _tokenizer(model: schema.TextClassifierModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token."""
    causal = isinstance(model, schema.GPT2ClassifierModel)
    name, key = model.tokenizer, "model.tokenizer"
    if name is None:
        name, key = model.name, "model.name"
    if name is None:
        raise UserError("model.tokenizer is needed where model.name is null: a folder or hub name")
    tokenizer = load_tokenizer(name, key)
    if causal and tokenizer.eos_token is None:
        raise UserError(
            f"{key}: the tokenizer '{name}' has no end-of-text token, which GPT-2 needs"
        )
    if causal:
        tokenizer.pad_token = tokenizer.eos_token
    elif tokenizer.pad_token is None:
        raise UserError(
            f"{key}: the tokenizer '{name}' has no padding token; it is not one of a "
            f"'{CLASSIFIER_KINDS[type(model)]}'"
        )
    return tokenizer


def _text_classifier(
    task: schema.GlueTask,
    model: schema.TextClassifierModel,
    tokenizer: PreTrainedTokenizerBase,
    outputs: int,
) -> nn.Module:
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
