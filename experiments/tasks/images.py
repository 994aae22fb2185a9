"""Classes of images: digits, data sets of torchvision, folders. No torch at import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from experiments.models.settings import (
    EfficientNetModel,
    ImageModel,
    MLPModel,
    ResNetModel,
    ViTModel,
)
from experiments.settings import LocalPath, Section, Share, Switch, list_as_tuple
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.places import folder_of, root_of

if TYPE_CHECKING:
    from experiments.data.images.sources import ImageData

Colours = Annotated[tuple[Share, Share, Share], BeforeValidator(list_as_tuple)]


class ImageTask(TaskSettings):
    """Images with classes; the network is sized to them."""

    models: ClassVar = (ResNetModel, ViTModel, EfficientNetModel, MLPModel)

    def build(self, model: ImageModel, *, data_root: Path | None, **_: Any) -> Task:
        from experiments.tasks.losses import Classification

        data = self.read(data_root)
        network = model.network(channels=data.channels, size=data.size, classes=data.classes)
        return Classification(network, data.train, data.validation)

    def read(self, data_root: Path | None) -> ImageData:
        """Both splits of the data."""
        raise NotImplementedError


class DigitsTask(ImageTask):
    """scikit-learn's 1,797 images of digits, 8×8 grey; every fifth image is validation."""

    kind: Literal["digits"] = "digits"

    titles: ClassVar = {"digits": "Digits"}

    def read(self, data_root: Path | None) -> ImageData:
        from experiments.data.images.sources import digits

        return digits()


class Channels(Section):
    """The training images' known mean and standard deviation of each colour; pixels are 0 to 1."""

    mean: Colours
    std: Colours


class ImageFolderTask(ImageTask):
    """A folder of `train/<class>/*` and `test/<class>/*` (or `val/`), in torchvision's order.

    A `val/` with `val_annotations.txt` is read as Tiny-ImageNet has it. `crop: padded` squeezes
    images to `size` × `size`; in training, `augment` moves them by up to size/8. `crop: resized`
    is ImageNet's: in training a random part of random proportions, resized; in evaluation the
    middle, after resizing the shorter side to size·8/7. `augment` flips at random in both.
    """

    kind: Literal["image_folder"] = "image_folder"
    folder: LocalPath = Field(min_length=1, description="below data_root, or an absolute path")
    size: PositiveInt = Field(32, description="pixels of a side, as the model sees the images")
    augment: Switch = Field(True, description="random crop and flip in training")
    crop: Literal["padded", "resized"] = "padded"
    validation: Literal["test", "val"] | None = Field(None, description="null: test, else val")
    normalisation: Channels | None = Field(None, description="null: the training part's own")

    titles: ClassVar = {"imagenet": "ImageNet"}

    def read(self, data_root: Path | None) -> ImageData:
        from experiments.data.images.folders import image_folder
        from experiments.data.images.sources import Normalisation

        known = self.normalisation
        return image_folder(
            folder_of(self.folder, data_root),
            self.size,
            self.augment,
            crop=self.crop,
            validation=self.validation,
            normalise=None if known is None else Normalisation.known(known.mean, known.std),
        )


class TorchvisionTask(ImageTask):
    """A data set of images as torchvision stores it, in its own folder below `data_root`."""

    kind: Literal["torchvision"] = "torchvision"
    dataset: Literal["cifar10", "cifar100", "mnist", "fashion_mnist"]
    augment: Switch = Field(True, description="random crop with padding of size/8 and random flip")
    download: Switch = Field(False, description="fetch what is missing")

    titles: ClassVar = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "mnist": "MNIST"}

    def read(self, data_root: Path | None) -> ImageData:
        from experiments.data.images.torchvision import torchvision_set

        root = root_of(data_root, f"task '{self.dataset}'")
        return torchvision_set(root, self.dataset, augment=self.augment, download=self.download)

    def places(self, data_root: Path | None) -> Iterator[Path]:
        from experiments.data.images.torchvision import torchvision_folder

        yield torchvision_folder(root_of(data_root, f"task '{self.dataset}'"), self.dataset)
