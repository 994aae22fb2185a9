"""Pictures and tables from the `task` and `model` sections of a config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from experiments.config import schema
from experiments.errors import UserError
from experiments.tasks.classification import Classification
from experiments.tasks.places import folder_of, root_of

if TYPE_CHECKING:
    from experiments.data.images.sources import ImageData

PictureTask = schema.DigitsTask | schema.ImageFolderTask | schema.TorchvisionTask
PictureModel = schema.ResNetModel | schema.ViTModel | schema.EfficientNetModel | schema.MLPModel


def picture_task(task: PictureTask, model: PictureModel, data_root: Path | None) -> Classification:
    """Pictures, and a network sized to them."""
    data = _picture_data(task, data_root)
    return Classification(_picture_model(data, model), data.train, data.validation)


def _picture_data(
    task: PictureTask,
    data_root: Path | None,
) -> ImageData:
    match task:
        case schema.DigitsTask():
            from experiments.data.images.sources import digits

            return digits()
        case schema.TorchvisionTask():
            from experiments.data.images.torchvision import torchvision_set

            root = root_of(data_root, f"task '{task.dataset}'")
            return torchvision_set(root, task.dataset, augment=task.augment, download=task.download)
        case schema.ImageFolderTask():
            from experiments.data.images.folders import image_folder
            from experiments.data.images.sources import Normalisation

            known = task.normalisation
            return image_folder(
                folder_of(task.folder, data_root),
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
        case schema.MLPModel():
            from experiments.models.mlp import PictureMLP

            inputs = data.channels * data.size**2
            return PictureMLP(**settings, inputs=inputs, classes=data.classes)


def table_task(
    task: schema.CovertypeTask | schema.OpenMLTask,
    model: schema.MLPModel,
    data_root: Path | None,
) -> Classification:
    """A table from scikit-learn's cache below `data_root`."""
    from experiments.data.tables import covertype, openml
    from experiments.models.mlp import MLP

    cache = root_of(data_root, f"task '{task.kind}'") / "scikit_learn_data"
    if isinstance(task, schema.CovertypeTask):
        data = covertype(cache, download=task.download)
    else:
        data = openml(cache, task.dataset, task.version, download=task.download)
    if data.classes < 2:
        raise UserError(f"task '{task.kind}': only one class, so that there is nothing to learn")
    network = MLP(
        inputs=data.features,
        width=model.width,
        layers=model.layers,
        dropout=model.dropout,
        classes=data.classes,
    )
    return Classification(network, data.train, data.validation)
