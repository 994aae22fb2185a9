"""GLUE's nine tasks. No torch at import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from experiments.errors import UserError
from experiments.models.settings import (
    BertModel,
    DistilBertModel,
    GPT2ClassifierModel,
    RobertaModel,
    TextClassifierModel,
)
from experiments.settings import LocalPath
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.places import folder_of, hub_data, root_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from experiments.data.glue.tasks import Examples, Split
    from experiments.data.text.classified import TextSource
    from experiments.tasks.losses import Metric

# The metrics besides accuracy, and the one that decides, where it is not accuracy alone.
_METRICS: dict[str, tuple[tuple[Metric, ...], Metric]] = {
    "cola": (("mcc",), "mcc"),
    "mrpc": (("f1",), "accuracy"),
    "qqp": (("f1",), "accuracy"),
}


class GlueTask(TaskSettings):
    """A GLUE task, from TSV files in the original layout below data_root/glue, hub or tfds."""

    kind: Literal["glue"] = "glue"
    dataset: Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    source: Literal["tsv", "hub", "tfds"] = "tsv"
    hub_name: LocalPath = Field(
        "nyu-mll/glue", min_length=1, description="hub name, or a local folder laid out like it"
    )
    tfds_dir: LocalPath | None = Field(
        None, min_length=1, description="below data_root, or an absolute path; null: tfds' own"
    )
    max_tokens: PositiveInt = 256
    train_examples: PositiveInt | None = Field(None, description="the first n examples; null: all")

    models: ClassVar = (BertModel, RobertaModel, DistilBertModel, GPT2ClassifierModel)
    keeps_tokens: ClassVar = True
    titles: ClassVar = {
        "cola": "CoLA", "mnli": "MNLI", "mrpc": "MRPC", "qnli": "QNLI", "qqp": "QQP",
        "rte": "RTE", "sst2": "SST-2", "stsb": "STS-B", "wnli": "WNLI",
    }  # fmt: skip

    def build(
        self,
        model: TextClassifierModel,
        *,
        data_root: Path | None,
        cache: Path | None,
        bytes_as_text: bool,
    ) -> Task:
        """The task; with `bytes_as_text` every text is taken as Python shows its bytes, `b'…'`."""
        from experiments.data.glue.tasks import DATASETS
        from experiments.data.text.classified import TextSource, marked_for_causal, read_as_bytes
        from experiments.tasks.losses import Classification, Regression

        dataset = DATASETS[self.dataset]
        # Data first: they are found missing at once, a model may have to be fetched.
        train = self._split("train", data_root)
        validation = self._split("validation", data_root)
        also = {} if dataset.mismatched is None else {"mm": self._split("mismatched", data_root)}
        tokenizer = _tokenizer(model)

        def source(examples: Examples, kept: slice = slice(None)) -> TextSource:
            texts = examples.texts[kept]
            if bytes_as_text:
                texts = read_as_bytes(texts)
            if model.family == "gpt2":
                texts = marked_for_causal(texts, tokenizer.eos_token)
            return TextSource(texts, examples.labels[kept], tokenizer, self.max_tokens, cache)

        network = model.network(tokenizer, max_tokens=self.max_tokens, classes=dataset.outputs)
        sources = source(train, slice(self.train_examples)), source(validation)
        if not dataset.labels:
            return Regression(network, *sources)
        metrics, score = _METRICS.get(self.dataset, ((), "accuracy"))
        also_validation = {suffix: source(examples) for suffix, examples in also.items()}
        return Classification(
            network, *sources, also=metrics, score=score, also_validation=also_validation
        )

    def _split(self, split: Split, data_root: Path | None) -> Examples:
        match self.source:
            case "tsv":
                from experiments.data.glue.tsv import read_tsv

                return read_tsv(self._tsv_root(data_root), self.dataset, split)
            case "hub":
                from experiments.data.glue.hub import read_hub

                return read_hub(self.hub_name, self.dataset, split)
            case "tfds":
                from experiments.data.glue.tfds import read_tfds

                return read_tfds(self._tfds_folder(data_root), self.dataset, split)

    def places(self, data_root: Path | None) -> Iterable[Path]:
        match self.source:
            case "tsv":
                from experiments.data.glue.tsv import LAYOUTS

                return [self._tsv_root(data_root) / LAYOUTS[self.dataset].folder]
            case "hub":
                return hub_data(self.hub_name, self.dataset)
            case "tfds":
                from experiments.data.glue.tfds import tfds_folder

                return [tfds_folder(self._tfds_folder(data_root)) / "glue" / self.dataset]

    def _tsv_root(self, data_root: Path | None) -> Path:
        return root_of(data_root, f"task 'glue/{self.dataset}'") / "glue"

    def _tfds_folder(self, data_root: Path | None) -> Path | None:
        folder = self.tfds_dir
        return None if folder is None else folder_of(folder, data_root, "task.tfds_dir")


def _tokenizer(model: TextClassifierModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token."""
    from experiments.models.pretrained import load_tokenizer

    name, key = model.tokenizer, "model.tokenizer"
    if name is None:
        name, key = model.name, "model.name"
    if name is None:
        raise UserError("model.tokenizer is needed where model.name is null: a folder or hub name")
    tokenizer = load_tokenizer(name, key)
    if model.family == "gpt2":
        if tokenizer.eos_token is None:
            raise UserError(
                f"{key}: the tokenizer '{name}' has no end-of-text token, which GPT-2 needs"
            )
        tokenizer.pad_token = tokenizer.eos_token
    elif tokenizer.pad_token is None:
        raise UserError(
            f"{key}: the tokenizer '{name}' has no padding token; it is not one of a "
            f"'{model.family}'"
        )
    return tokenizer
