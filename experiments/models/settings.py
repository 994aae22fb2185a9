"""Settings of models, and how each is built. No torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from experiments.settings import KindSection, LocalPath, Probability

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from experiments.models.families import Kind


class ImageModel(KindSection):
    """A model of images, sized to them."""

    def network(self, *, channels: int, size: int, classes: int) -> Module:
        """The network for images of `size` × `size` pixels."""
        raise NotImplementedError


class ResNetModel(ImageModel):
    """ResNet, from scratch.

    The stem is one 3×3 convolution for small images (`cifar`), or a 7×7 one on every second
    pixel with a max-pool (`standard`).
    """

    kind: Literal["resnet"] = "resnet"
    depth: Literal[8, 18, 34, 50] = Field(8, description="8 is the small one, for a CPU")
    stem: Literal["cifar", "standard"] = "cifar"
    width: PositiveInt = Field(64, description="channels of the first stage")

    titles: ClassVar = {
        "resnet": "ResNet",
        "resnet18": "ResNet-18",
        "resnet34": "ResNet-34",
        "resnet50": "ResNet-50",
    }

    def network(self, *, channels: int, size: int, classes: int) -> Module:
        from experiments.models.resnet import ResNet

        return ResNet(**self.model_dump(exclude={"kind"}), in_channels=channels, classes=classes)


class ViTModel(ImageModel):
    """A Vision Transformer, sized to the image."""

    kind: Literal["vit"] = "vit"
    patch: PositiveInt | None = Field(
        4, description="pixels of a side; null: 16 for images from 128, 8 from 64, else 4"
    )
    width: PositiveInt = 128
    layers: PositiveInt = 4
    heads: PositiveInt = 4
    dropout: Probability = 0.0

    titles: ClassVar = {"vit": "ViT"}

    def network(self, *, channels: int, size: int, classes: int) -> Module:
        from experiments.models.vit import ViT

        settings = self.model_dump(exclude={"kind"})
        return ViT(**settings, size=size, in_channels=channels, classes=classes)


class EfficientNetModel(ImageModel):
    """EfficientNet, from scratch; `stem: cifar` keeps the size in the first convolution."""

    kind: Literal["efficientnet"] = "efficientnet"
    variant: Literal["b0", "b1", "b2", "b3", "b4"] = "b0"
    stem: Literal["cifar", "standard"] = "standard"
    dropout: Probability | None = Field(None, description="null: as published, 0.2 to 0.4")

    titles: ClassVar = {"efficientnet": "EfficientNet"}

    def network(self, *, channels: int, size: int, classes: int) -> Module:
        from experiments.models.efficientnet import EfficientNet

        settings = self.model_dump(exclude={"kind"})
        return EfficientNet(**settings, in_channels=channels, classes=classes)


class MLPModel(ImageModel):
    """A multi-layer perceptron with ReLU, for tables and for the pixels of images."""

    kind: Literal["mlp"] = "mlp"
    width: PositiveInt = 256
    layers: PositiveInt = Field(2, description="hidden layers")
    dropout: Probability = 0.0

    titles: ClassVar = {"mlp": "MLP"}

    def network(self, *, channels: int, size: int, classes: int) -> Module:
        from experiments.models.mlp import PictureMLP

        settings = self.model_dump(exclude={"kind"})
        return PictureMLP(**settings, inputs=channels * size**2, classes=classes)

    def table_network(self, *, features: int, classes: int) -> Module:
        """The network for rows of `features` numbers."""
        from experiments.models.mlp import MLP

        return MLP(**self.model_dump(exclude={"kind"}), inputs=features, classes=classes)


class TextClassifierModel(KindSection):
    """A classifier of texts, pretrained from `name`, or from scratch by the sizes if it is null.

    `head: linear` is one linear layer on one position of the last hidden state (the first, or
    GPT-2's last); `own` is the model's own classification head. A folder is looked for locally,
    then below data_root; `package:<package>/<folder>` lies in an installed Python package.
    `family` is transformers' name of the kind.
    """

    family: ClassVar[Kind]

    name: LocalPath | None = Field(None, description="hub name or local folder")
    head: Literal["linear", "own"] = "linear"
    layers: PositiveInt | None = Field(None, description="keep the first n layers; null: all")
    width: PositiveInt = Field(128, description="from scratch only, like heads")
    heads: PositiveInt = 4
    dropout: Probability | None = Field(None, description="null: as pretrained (0.1 from scratch)")
    tokenizer: LocalPath | None = Field(
        None, description="hub name or local folder; null: as `name`"
    )

    def network(
        self, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, classes: int
    ) -> Module:
        """The network for texts of at most `max_tokens` tokens."""
        from experiments.models.text_classifier import text_classifier

        return text_classifier(
            **self.model_dump(exclude={"kind", "tokenizer"}),
            kind=self.family,
            vocabulary=len(tokenizer),
            padding_id=tokenizer.pad_token_id,
            max_tokens=max_tokens,
            classes=classes,
        )


class BertModel(TextClassifierModel):
    """BERT; the prediction is made at the first position."""

    kind: Literal["bert"] = "bert"
    name: LocalPath | None = "google-bert/bert-base-uncased"

    family = "bert"
    titles: ClassVar = {"bert": "BERT"}

    def masked_network(self, *, vocabulary: int, padding_id: int | None, block: int) -> Module:
        """The network that predicts hidden tokens in blocks of `block` tokens."""
        from experiments.models.language_models import masked_bert

        settings = self.model_dump(exclude={"kind", "head", "tokenizer"})
        return masked_bert(**settings, vocabulary=vocabulary, padding_id=padding_id, block=block)


class RobertaModel(TextClassifierModel):
    """RoBERTa; the prediction is made at the first position."""

    kind: Literal["roberta"] = "roberta"
    name: LocalPath | None = "FacebookAI/roberta-base"

    family = "roberta"
    titles: ClassVar = {"roberta": "RoBERTa"}


class DistilBertModel(TextClassifierModel):
    """DistilBERT; the prediction is made at the first position."""

    kind: Literal["distilbert"] = "distilbert"
    name: LocalPath | None = "distilbert/distilbert-base-uncased"

    family = "distilbert"
    titles: ClassVar = {"distilbert": "DistilBERT"}


class GPT2ClassifierModel(TextClassifierModel):
    """GPT-2 as a classifier; the prediction is made at the last token."""

    kind: Literal["gpt2_classifier"] = "gpt2_classifier"
    name: LocalPath | None = "openai-community/gpt2"

    family = "gpt2"


class GPT2Model(KindSection):
    """GPT-2 as a language model; pretrained from `name`, or from scratch by the sizes."""

    kind: Literal["gpt2"] = "gpt2"
    name: LocalPath | None = None
    layers: PositiveInt | None = Field(
        None, description="keep the first n layers; null: all, or 12"
    )
    width: PositiveInt = 768
    heads: PositiveInt = 12
    dropout: Probability = 0.0

    titles: ClassVar = {"gpt2": "GPT-2"}

    def network(self, *, vocabulary: int, block: int) -> Module:
        """The network that predicts the next of `block` tokens."""
        from experiments.models.language_models import gpt2

        return gpt2(**self.model_dump(exclude={"kind"}), vocabulary=vocabulary, block=block)


MODELS = (
    ResNetModel,
    ViTModel,
    EfficientNetModel,
    MLPModel,
    BertModel,
    RobertaModel,
    DistilBertModel,
    GPT2ClassifierModel,
    GPT2Model,
)
