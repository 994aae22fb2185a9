"""CIFAR and MNIST in torchvision's layouts, written here from real images."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import datasets

from experiments.data.images.sources import ImageData
from experiments.data.images.torchvision import torchvision_set
from experiments.errors import UserError
from experiments.models.settings import EfficientNetModel, ResNetModel, ViTModel
from experiments.tasks.build import build_task
from experiments.tasks.images import TorchvisionTask
from tests.experiments.data.locations import data_root

LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}


def read(root: Path, name: str, *, augment: bool = False, download: bool = False) -> ImageData:
    return torchvision_set(root, name, augment=augment, download=download)


def real_images(part: str, each: int) -> tuple[np.ndarray, list[int]]:
    """Pixels N×3×32×32 and classes of the first images of every class of CIFAR-10."""
    folders = sorted((data_root() / "cifar10_images" / part).iterdir())
    files = [(path, n) for n, f in enumerate(folders) for path in sorted(f.iterdir())[:each]]
    pixels = [np.asarray(Image.open(path)).transpose(2, 0, 1) for path, _ in files]
    return np.stack(pixels), [number for _, number in files]


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The name and the folder of a CIFAR made of 300 real images, with checksums to match."""
    cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[request.param]
    folder = tmp_path / cls.base_folder
    folder.mkdir()

    def write(name: str, value: dict[str, Any]) -> str:
        (folder / name).write_bytes(pickle.dumps(value))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for list_name, part, each in (("train_list", "train", 20), ("test_list", "test", 10)):
        pixels, labels = real_images(part, each)
        names = [name for name, _ in getattr(cls, list_name)]
        sums = []
        for number, name in enumerate(names):
            mine = slice(number, None, len(names))
            flat = pixels[mine].reshape(len(labels[mine]), -1)
            sums.append([name, write(name, {"data": flat, LABELS[request.param]: labels[mine]})])
        monkeypatch.setattr(cls, list_name, sums)
    names = {cls.meta["key"]: [str(n) for n in range(10)]}
    meta = {**cls.meta, "md5": write(cls.meta["filename"], names)}
    monkeypatch.setattr(cls, "meta", meta)
    return request.param, tmp_path


def test_cifar_is_read_as_torchvision_stores_it(cifar: tuple[str, Path]) -> None:
    name, root = cifar
    data = read(root, name, augment=True)
    assert (data.channels, data.size, data.classes) == (3, 32, 10 if name == "cifar10" else 100)
    assert (len(data.train), len(data.validation)) == (200, 100)
    pixels, labels = real_images("test", 10)
    batch = data.validation.batch(torch.arange(100), torch.Generator())
    assert batch["labels"].tolist() == labels
    train = torch.from_numpy(real_images("train", 20)[0]).double()
    mean, std = (f((0, 2, 3))[:, None, None] for f in (train.mean, train.std))
    expected = ((torch.from_numpy(pixels) - mean) / std).float()
    torch.testing.assert_close(batch["images"], expected, atol=1e-4, rtol=1e-4)


def test_cifar_is_augmented_in_training_only(cifar: tuple[str, Path]) -> None:
    name, root = cifar
    indices, generator = torch.arange(20), torch.Generator().manual_seed(0)
    plain, moved = read(root, name), read(root, name, augment=True)
    still = plain.train.batch(indices, generator)["images"]
    assert torch.equal(moved.train.batch(indices, None)["images"], still)
    assert not torch.equal(moved.train.batch(indices, generator)["images"], still)


def test_a_changed_file_of_cifar_is_refused(cifar: tuple[str, Path]) -> None:
    name, root = cifar
    folder = next(root.iterdir())
    (folder / ("test" if name == "cifar100" else "test_batch")).write_bytes(b"")
    with pytest.raises(UserError, match="missing or broken in") as raised:
        read(root, name)
    assert str(folder) in str(raised.value)
    assert "task.download=true" in str(raised.value)


def idx(values: np.ndarray) -> bytes:
    """MNIST's format: zeros, the type (8: uint8), the dimensions, their sizes, the bytes."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """scikit-learn's digits as MNIST: 300 for training, 100 for test, enlarged to 28×28."""
    found = load_digits()
    images = np.pad(np.kron(found.images, np.ones((3, 3))) * 15, ((0, 0), (2, 2), (2, 2)))
    for name in ("MNIST", "FashionMNIST"):
        folder = tmp_path / name / "raw"
        folder.mkdir(parents=True)
        for part, kept in (("train", slice(300)), ("t10k", slice(300, 400))):
            (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images[kept]))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(found.target[kept]))
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_is_read_as_torchvision_stores_it(mnist: Path, name: str) -> None:
    data = read(mnist, name)
    assert (data.channels, data.size, data.classes) == (1, 28, 10)
    assert (len(data.train), len(data.validation)) == (300, 100)
    batch = data.validation.batch(torch.arange(100), None)
    assert batch["labels"].tolist() == load_digits().target[300:400].tolist()
    assert batch["images"].shape == (100, 1, 28, 28)
    everything = data.train.batch(torch.arange(300), None)["images"]
    assert everything.mean().item() == pytest.approx(0, abs=1e-5)
    assert everything.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("model", ["resnet", "vit", "efficientnet"])
def test_every_image_model_fits(mnist: Path, model: str) -> None:
    sections: dict[str, Any] = {
        "resnet": ResNetModel.model_validate({"width": 4}),
        "vit": ViTModel.model_validate({"patch": None, "width": 16, "layers": 1}),
        "efficientnet": EfficientNetModel(),
    }
    task = build_task(TorchvisionTask(dataset="mnist"), sections[model], data_root=mnist)
    prediction = task.predict(task.train.batch(torch.arange(4), None))
    assert prediction.outputs.shape == (4,)
    assert prediction.loss.isfinite()


@pytest.mark.parametrize("length", [0, 3, 5000])
def test_a_torn_file_of_mnist_is_one_clear_error(mnist: Path, length: int) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="mnist: missing or broken in"):
        read(mnist, "mnist")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_what_is_missing_is_named_and_not_fetched(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", pytest.fail)
    with pytest.raises(UserError) as raised:
        read(tmp_path, name)
    message = str(raised.value)
    assert message.startswith(f"{name}: no such folder: {tmp_path}")
    assert "task.download=true" in message
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_download_without_network_is_one_clear_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match=f"{name}: could not be downloaded to {tmp_path}"):
        read(tmp_path, name, download=True)


def test_without_a_data_root_it_is_asked_for() -> None:
    task = TorchvisionTask(dataset="cifar10")
    with pytest.raises(UserError, match="task 'cifar10' lies below data_root"):
        build_task(task, ResNetModel(), data_root=None)
