"""What a config may hold: every key, its type, its range and its default. No torch.

A resolved config is an instance of `RunConfig`; composition and overrides are in `config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic.fields import FieldInfo

from experiments.config.home import with_home

Probability = Annotated[float, Field(ge=0, le=1)]
OpenUnit = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


def list_as_tuple(value: object) -> object:
    """YAML has lists only; strict types want the tuple itself."""
    return tuple(value) if isinstance(value, list) else value


def word_as_bool(value: object) -> object:
    """YAML's other words for true and false, which are text in what is not a switch."""
    return _WORDS.get(value.lower(), value) if isinstance(value, str) else value


_WORDS = {"yes": True, "on": True, "no": False, "off": False}

Switch = Annotated[bool, BeforeValidator(word_as_bool)]
Betas = Annotated[tuple[Beta, Beta], BeforeValidator(list_as_tuple)]
PositiveBetas = Annotated[tuple[OpenUnit, Beta], BeforeValidator(list_as_tuple)]
Colours = Annotated[tuple[Share, Share, Share], BeforeValidator(list_as_tuple)]


_IN_FILES = "a path"
LocalPath = Annotated[str, _IN_FILES]
"""Text that is a path, or may be one: a folder in place of the hub's name. The config keeps it as
it was written, hash and all; who opens it asks `Section.with_home` first."""


class Section(BaseModel):
    """A part of the config: unknown keys are errors, types are not bent, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    def with_home(self, key: str) -> Self:
        """The section, the config's `key`, with the home folder for `~` in its paths.

        Raises:
            UserError: for a `~user` that there is not.
        """
        paths = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, str) and _IN_FILES in _parts(field):
                paths[name] = with_home(value, f"{key}.{name}")
        return self.model_copy(update=paths)


def holds_text(path: Sequence[str], sections: Sequence[type[Section]]) -> bool:
    """Whether nothing but text, or null, fits below the keys `path` of one of these sections.

    True for keys that there are not, which are refused by their names.
    """
    parts: list[Any] = []
    for name in path:
        fields = (section.model_fields.get(name) for section in sections)
        parts = [part for field in fields if field is not None for part in _parts(field)]
        sections = [part for part in parts if isinstance(part, type) and issubclass(part, Section)]
    types = [part for part in parts if isinstance(part, type) or get_origin(part) is not None]
    return all(
        all(isinstance(name, str) for name in get_args(kind))
        if get_origin(kind) is Literal
        else kind in (str, NoneType)
        for kind in types
    )


def _parts(field: FieldInfo) -> list[Any]:
    """The types that a field's annotation is made of, and what it is annotated with."""

    def parts(annotation: Any) -> Iterator[Any]:
        if get_origin(annotation) in (Annotated, Union, UnionType):
            for part in get_args(annotation):
                yield from parts(part)
        else:
            yield annotation

    return [*parts(field.annotation), *field.metadata]


# --------------------------------------------------------------------------------------- tasks


class DigitsTask(Section):
    """scikit-learn's 1,797 pictures of digits, 8×8 grey; every fifth picture is validation."""

    kind: Literal["digits"] = "digits"


class Channels(Section):
    """What is subtracted from each of the three colours, and what divides them; pixels are 0 to 1.

    It stands for the training part's own mean and standard deviation where these are known.
    """

    mean: Colours
    std: Colours


class ImageFolderTask(Section):
    """A folder of `train/<class>/*` and `test/<class>/*` (or `val/`), in torchvision's order.

    A `val/` with `val_annotations.txt` is read as Tiny-ImageNet has it. `crop: padded` squeezes
    pictures to `size` × `size`; in training, `augment` moves them by up to size/8. `crop: resized`
    is ImageNet's: in training a random part of random proportions, resized; in evaluation the
    middle, after resizing the shorter side to size·8/7. `augment` flips at random in both.
    """

    kind: Literal["image_folder"] = "image_folder"
    folder: LocalPath = Field(min_length=1, description="below data_root, or an absolute path")
    size: PositiveInt = Field(32, description="pixels of a side, as the model sees the pictures")
    augment: Switch = Field(True, description="random crop and flip in training")
    crop: Literal["padded", "resized"] = "padded"
    validation: Literal["test", "val"] | None = Field(None, description="null: test, else val")
    normalisation: Channels | None = Field(None, description="null: the training part's own")


class TorchvisionTask(Section):
    """A data set of pictures as torchvision stores it, in its own folder below `data_root`."""

    kind: Literal["torchvision"] = "torchvision"
    dataset: Literal["cifar10", "cifar100", "mnist", "fashion_mnist"]
    augment: Switch = Field(True, description="random crop with padding of size/8 and random flip")
    download: Switch = Field(False, description="fetch what is missing")


class CovertypeTask(Section):
    """Forest covertype, from scikit-learn's cache in `data_root/scikit_learn_data`.

    Every fifth example is validation; so it is with `openml`.
    """

    kind: Literal["covertype"] = "covertype"
    download: Switch = Field(False, description="fetch what is missing")


class OpenMLTask(Section):
    """A data set of OpenML with classes, from the same cache as covertype."""

    kind: Literal["openml"] = "openml"
    dataset: str = Field(pattern=r"^[A-Za-z0-9][\w.()-]*$", description="its name on openml.org")
    version: PositiveInt
    download: Switch = Field(False, description="fetch what is missing")


class GlueTask(Section):
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


class ByteTextTask(Section):
    """Language modelling on the bytes of text that every Python carries (`pydoc_data.topics`)."""

    kind: Literal["byte_text"] = "byte_text"
    block: PositiveInt = Field(64, description="bytes a sequence")


class Corpus(Section):
    """A long text, one file (`file`) or a data set's column (`hub_name`), as blocks of tokens.

    Tokens are made once and kept on disk; bytes of a file are read from the file itself.
    """

    file: LocalPath | None = Field(None, description="below data_root, or an absolute path")
    hub_name: LocalPath | None = Field(
        None, description="hub name, or a folder in the hub's layout; instead of file"
    )
    hub_config: str | None = Field(None, description="the hub's name for a part of the data set")
    hub_revision: str | None = Field(None, description="branch, tag or commit; null: the newest")
    column: str = "text"
    documents: Switch = Field(
        False, description="true: rows are documents, each ended by a mark; false: parts of one"
    )
    max_rows: PositiveInt | None = Field(
        None, description="of the hub's training split, the first n rows; null: all"
    )
    tokenizer: LocalPath | None = Field(
        None, description="bytes, hub name or local folder; null: the model's own"
    )
    block: PositiveInt = Field(1024, description="tokens a sequence")
    validation_share: OpenUnit | None = Field(
        None, description="of the training tokens, the last ones; null: the hub's validation split"
    )


class LanguageModelTask(Corpus):
    """Language modelling: every token but the first is predicted from those before it."""

    kind: Literal["language_model"] = "language_model"


class MaskedLanguageModelTask(Corpus):
    """Masked language modelling: 15 % of the tokens are predicted from all the others."""

    kind: Literal["masked_language_model"] = "masked_language_model"


Task = Annotated[
    DigitsTask
    | ImageFolderTask
    | TorchvisionTask
    | CovertypeTask
    | OpenMLTask
    | GlueTask
    | ByteTextTask
    | LanguageModelTask
    | MaskedLanguageModelTask,
    Field(discriminator="kind"),
]

# -------------------------------------------------------------------------------------- models


class ResNetModel(Section):
    """ResNet, from scratch.

    The stem is one 3×3 convolution for small pictures (`cifar`), or a 7×7 one on every second
    pixel with a max-pool (`standard`).
    """

    kind: Literal["resnet"] = "resnet"
    depth: Literal[8, 18, 34, 50] = Field(8, description="8 is the small one, for a CPU")
    stem: Literal["cifar", "standard"] = "cifar"
    width: PositiveInt = Field(64, description="channels of the first stage")


class ViTModel(Section):
    """A Vision Transformer, sized to the picture."""

    kind: Literal["vit"] = "vit"
    patch: PositiveInt | None = Field(
        4, description="pixels of a side; null: 16 for pictures from 128, 8 from 64, else 4"
    )
    width: PositiveInt = 128
    layers: PositiveInt = 4
    heads: PositiveInt = 4
    dropout: Probability = 0.0


class EfficientNetModel(Section):
    """EfficientNet, from scratch; `stem: cifar` keeps the size in the first convolution."""

    kind: Literal["efficientnet"] = "efficientnet"
    variant: Literal["b0", "b1", "b2", "b3", "b4"] = "b0"
    stem: Literal["cifar", "standard"] = "standard"
    dropout: Probability | None = Field(None, description="null: as published, 0.2 to 0.4")


class MLPModel(Section):
    """A multi-layer perceptron with ReLU, for tables and pictures, whose pixels it takes flat."""

    kind: Literal["mlp"] = "mlp"
    width: PositiveInt = 256
    layers: PositiveInt = Field(2, description="hidden ones")
    dropout: Probability = 0.0


class TextClassifierModel(Section):
    """A classifier of texts, pretrained from `name`, or from scratch by the sizes if it is null.

    `head: linear` is one linear layer on one position of the last hidden state (the first, or
    GPT-2's last); `own` is the model's own classification head. A folder is looked for locally,
    then below data_root; `package:<package>/<folder>` lies in an installed Python package.
    """

    name: LocalPath | None = Field(None, description="hub name or local folder")
    head: Literal["linear", "own"] = "linear"
    layers: PositiveInt | None = Field(None, description="keep the first n layers; null: all")
    width: PositiveInt = Field(128, description="from scratch only, like heads")
    heads: PositiveInt = 4
    dropout: Probability | None = Field(None, description="null: as pretrained (0.1 from scratch)")
    tokenizer: LocalPath | None = Field(
        None, description="hub name or local folder; null: as `name`"
    )


class BertModel(TextClassifierModel):
    """BERT; the prediction is made at the first position."""

    kind: Literal["bert"] = "bert"
    name: LocalPath | None = "google-bert/bert-base-uncased"


class RobertaModel(TextClassifierModel):
    """RoBERTa; the prediction is made at the first position."""

    kind: Literal["roberta"] = "roberta"
    name: LocalPath | None = "FacebookAI/roberta-base"


class DistilBertModel(TextClassifierModel):
    """DistilBERT; the prediction is made at the first position."""

    kind: Literal["distilbert"] = "distilbert"
    name: LocalPath | None = "distilbert/distilbert-base-uncased"


class GPT2ClassifierModel(TextClassifierModel):
    """GPT-2 as a classifier; the prediction is made at the last token."""

    kind: Literal["gpt2_classifier"] = "gpt2_classifier"
    name: LocalPath | None = "openai-community/gpt2"


class GPT2Model(Section):
    """GPT-2 as a language model; pretrained from `name`, or from scratch by the sizes."""

    kind: Literal["gpt2"] = "gpt2"
    name: LocalPath | None = None
    layers: PositiveInt | None = Field(
        None, description="keep the first n layers; null: all, or 12"
    )
    width: PositiveInt = 768
    heads: PositiveInt = 12
    dropout: Probability = 0.0


Model = Annotated[
    ResNetModel
    | ViTModel
    | EfficientNetModel
    | MLPModel
    | BertModel
    | RobertaModel
    | DistilBertModel
    | GPT2ClassifierModel
    | GPT2Model,
    Field(discriminator="kind"),
]

# ---------------------------------------------------------------------------------- optimizers


class Scheduled(Section):
    """What torch's optimizers and the peers share: linear warm-up to `lr`, then cosine to zero."""

    lr: PositiveFloat
    warmup: Beta = Field(0.1, description="share of the steps in which the rate rises")
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)


class Adam(Scheduled):
    """`torch.optim.Adam`."""

    kind: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)


class AdamW(Scheduled):
    """`torch.optim.AdamW`."""

    kind: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)


class SGD(Scheduled):
    """`torch.optim.SGD`."""

    kind: Literal["sgd"] = "sgd"
    momentum: Beta = 0.0


class NAdamW(Scheduled):
    """`torch.optim.NAdam` with decoupled weight decay and β₁ at every step, without its rise."""

    kind: Literal["nadamw"] = "nadamw"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)


class Prodigy(Scheduled):
    """`prodigyopt.Prodigy`; the rate of a step is `lr` times its estimate d."""

    kind: Literal["prodigy"] = "prodigy"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    d0: PositiveFloat = Field(1e-6, description="the first estimate")
    d_coef: PositiveFloat = Field(1.0, description="multiplies the estimate")
    use_bias_correction: Switch = False
    safeguard_warmup: Switch = Field(False, description="for a schedule with warm-up")


class DAdaptAdam(Scheduled):
    """`dadaptation.DAdaptAdam`; the rate of a step is `lr` times its estimate d."""

    kind: Literal["dadapt_adam"] = "dadapt_adam"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    d0: PositiveFloat = Field(1e-6, description="the first estimate")
    decouple: Switch = Field(False, description="weight decay as AdamW's")
    use_bias_correction: Switch = False


class MomoAdam(Scheduled):
    """`momo.MomoAdam`; `lr` bounds the step that it finds."""

    kind: Literal["momo_adam"] = "momo_adam"
    betas: Betas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)
    lb: float = Field(0.0, description="a lower bound of the loss")
    use_fstar: Switch = Field(False, description="estimate the lower bound")


class ScheduleFreeAdamW(Scheduled):
    """`schedulefree.AdamWScheduleFree`, judged at its averaged weights.

    `r` is the power of the step's number in the weights of the average.
    """

    kind: Literal["schedulefree_adamw"] = "schedulefree_adamw"
    schedule: Literal["constant"] = "constant"
    betas: PositiveBetas = (0.9, 0.999)
    eps: float = Field(1e-8, ge=0)
    r: float = Field(0.0, ge=0)


Peer = Prodigy | DAdaptAdam | MomoAdam | ScheduleFreeAdamW


class LineSearch(Section):
    """What the line searches of `sls` share; null means the optimizer's own default.

    `anneal` is the share of the run over which the step is annealed to zero; null: never.
    """

    preset: Literal["default", "paper"] = "default"
    c: OpenUnit | None = None
    init_step: PositiveFloat | None = None
    shrink: OpenUnit | None = None
    growth: Annotated[float, Field(ge=1)] | None = None
    max_trials: PositiveInt | None = None
    search: Literal["every", "adaptive"] | None = None
    weight_decay: float = Field(0.0, ge=0)
    anneal: Share | None = None


class SLS(LineSearch):
    """`sls.SLS`; the harness gives it the number of batches an epoch."""

    kind: Literal["sls"] = "sls"


class AdamSLS(LineSearch):
    """`sls.AdamSLS`."""

    kind: Literal["adam_sls"] = "adam_sls"
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None


class ALSALS(LineSearch):
    """`sls.ALSALS`."""

    kind: Literal["alsals"] = "alsals"
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    beta3: Beta | None = None
    smoothing: Literal["paper", "ratio"] | None = None
    slope: Literal["exact", "finite_difference"] | None = None


class SaLSA(LineSearch):
    """`sls.SaLSA`."""

    kind: Literal["salsa"] = "salsa"
    direction: Literal["adam", "sgd"] | None = None
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    beta3: Beta | None = None


class PeakSLS(Section):
    """`sls.PeakSLS`, whose step is not set but told by fresh mini-batches.

    Null means the optimizer's own default. Where the length of the run is known, the step is
    annealed to zero over the last share `anneal`; `averaging` has it judged at averaged weights.
    """

    kind: Literal["peak_sls"] = "peak_sls"
    length_known: Switch = Field(True, description="false: the optimizer is not told total_steps")
    anneal: Share | None = None
    averaging: Switch | None = None
    direction: Literal["adam", "sgd"] | None = None
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None
    init_step: PositiveFloat | None = None
    weight_decay: float = Field(0.0, ge=0)


Optimizer = Annotated[
    Adam | AdamW | SGD | NAdamW | Peer | SLS | AdamSLS | ALSALS | SaLSA | PeakSLS,
    Field(discriminator="kind"),
]

# --------------------------------------------------------------------------------------- the run


class Trainer(Section):
    """How long, how large, how often."""

    epochs: PositiveInt = Field(5, description="passes over the training data")
    max_steps: PositiveInt | None = Field(None, description="stop after n steps; null: all epochs")
    batch_size: PositiveInt = Field(64, description="examples per step")
    eval_batch_size: PositiveInt = 256
    eval_every_steps: PositiveInt | None = Field(None, description="null: after every epoch")
    checkpoint_every_steps: PositiveInt = Field(100, description="and after every evaluation")
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(0, ge=0, description="processes that load data")
    micro_batches: PositiveInt = Field(1, description="parts of a batch, one at a time in memory")
    group_by_length: PositiveInt | None = Field(
        None, description="texts of like length together, in windows of n batches; null: off"
    )
    hold_out: OpenUnit | None = Field(
        None, description="validate on this share of the training examples, train on the others"
    )


class Logger(Section):
    """Where rows go besides `metrics.jsonl`."""

    wandb: Literal["online", "offline", "disabled"] = "disabled"
    wandb_project: str = "sls"
    wandb_entity: str | None = None
    console: Switch = True


class Quirks(Section):
    """The choices of the authors' harness that a correct one does not make; `profile` sets them.

    What each does and where it is applied is in `docs/replication.md`.
    """

    evaluation_mode: Switch = Field(False, description="GLUE's models train without dropout")
    fixed_order: Switch = Field(False, description="every epoch has the first one's batches")
    bytes_as_text: Switch = Field(False, description="GLUE's texts read b'…'")
    one_seed: Switch = Field(False, description="the seed is 42, whatever was asked")
    accuracy_of_one_batch: Switch = Field(
        False, description="pictures' metrics count the first validation batch alone"
    )


PROFILES: dict[str, dict[str, bool]] = {
    "corrected": dict.fromkeys(Quirks.model_fields, False),
    "paper": dict.fromkeys(Quirks.model_fields, True),
}
"""What each profile makes of the quirks; a quirk that is set by its own name wins."""


class Choices(Section):
    """The names of the files that were composed; they name the run's folder."""

    experiment: str
    task: str
    model: str
    optimizer: str


class RunConfig(Section):
    """One run, resolved."""

    choices: Choices
    seed: int = Field(
        0, ge=0, lt=2**32, description="of first weights, order of data, augmentation, dropout"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps, …")
    data_root: LocalPath | None = Field(None, description="null: SLS_DATA_ROOT of the environment")
    cache_dir: LocalPath | None = Field(
        ".sls_cache",
        min_length=1,
        description="what is computed once from the data; null: nothing is kept",
    )
    results_dir: LocalPath = Field(
        "results", min_length=1, description="each run has a folder there"
    )
    task: Task
    model: Model
    optimizer: Optimizer
    trainer: Trainer
    logger: Logger
    profile: Literal["corrected", "paper"] = "corrected"
    quirks: Quirks = Quirks()
