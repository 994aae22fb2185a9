"""Images: digits, folders, normalisation and augmentation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from experiments.data.images import folders
from experiments.data.images.folders import Decoded, image_folder
from experiments.data.images.sources import InMemory, crop_and_flip, digits
from experiments.errors import UserError
from tests.experiments.data.locations import data_root


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of the real CIFAR-10 images, 30 for training and 10 for validation each."""
    real = data_root() / "cifar10_images"
    folder = tmp_path_factory.mktemp("cifar")
    for part, count in (("train", 30), ("test", 10)):
        for name in ("cat", "ship"):
            (folder / part / name).mkdir(parents=True)
            for image in sorted((real / part / name).iterdir())[:count]:
                shutil.copy(image, folder / part / name)
    return folder


def test_digits_are_split_by_every_fifth_image() -> None:
    data = digits()
    everything = load_digits()
    batch = data.validation.batch(torch.arange(3), None)
    assert (len(data.train), len(data.validation)) == (1437, 360)
    assert batch["labels"].tolist() == everything.target[[0, 5, 10]].tolist()
    pixels = torch.from_numpy(everything.images[[0, 5, 10]]).float()[:, None]
    assert torch.corrcoef(torch.stack([batch["images"].flatten(), pixels.flatten()]))[
        0, 1
    ] == pytest.approx(1, abs=1e-6)


def test_digits_of_another_scikit_learn_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = digits()
    monkeypatch.setattr("experiments.data.images.sources.DIGITS_FILE", "of another version")
    slow = digits()
    for one, other in ((quick.train, slow.train), (quick.validation, slow.validation)):
        everything = torch.arange(len(one))
        a, b = (source.batch(everything, None) for source in (one, other))
        assert torch.equal(a["images"], b["images"])
        assert torch.equal(a["labels"], b["labels"])


def test_training_part_has_mean_zero_and_deviation_one(cifar: Path) -> None:
    for data in (digits(), image_folder(cifar, 32, augment=True)):
        everything = data.train.batch(torch.arange(len(data.train)), None)["images"]
        assert everything.dtype == torch.float32
        assert everything.shape[1:] == (data.channels, data.size, data.size)
        torch.testing.assert_close(
            everything.mean((0, 2, 3)), torch.zeros(data.channels), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            everything.std((0, 2, 3)), torch.ones(data.channels), atol=1e-3, rtol=0
        )


def test_validation_is_normalised_by_the_training_part(cifar: Path) -> None:
    data = image_folder(cifar, 32, augment=False)
    assert isinstance(data.train, InMemory)
    assert isinstance(data.validation, InMemory)
    assert data.validation.normalise is data.train.normalise


def test_classes_are_numbered_by_their_sorted_names(cifar: Path) -> None:
    data = image_folder(cifar, 32, augment=False)
    labels = data.train.batch(torch.arange(60), None)["labels"]
    assert data.classes == 2
    assert labels.tolist() == [0] * 30 + [1] * 30


def test_images_are_resized(cifar: Path) -> None:
    data = image_folder(cifar, 20, augment=False)
    assert data.train.batch(torch.tensor([0, 5]), None)["images"].shape == (2, 3, 20, 20)


def test_a_batch_is_a_function_of_indices_and_generator(cifar: Path) -> None:
    train = image_folder(cifar, 32, augment=True).train
    indices = torch.tensor([3, 40, 3])
    first = train.batch(indices, seeded(1))
    train.batch(torch.arange(10), seeded(2))
    again = train.batch(indices, seeded(1))
    other = train.batch(indices, seeded(2))
    assert torch.equal(first["images"], again["images"])
    assert not torch.equal(first["images"], other["images"])
    assert first["labels"].tolist() == [0, 1, 0]


def test_augmentation_leaves_the_global_random_state_alone(cifar: Path) -> None:
    train = image_folder(cifar, 32, augment=True).train
    state = torch.get_rng_state()
    train.batch(torch.arange(10), seeded(1))
    assert torch.equal(state, torch.get_rng_state())


def test_only_training_with_a_generator_is_augmented(cifar: Path) -> None:
    augmented = image_folder(cifar, 32, augment=True)
    plain = image_folder(cifar, 32, augment=False)
    indices = torch.arange(20)
    expected = plain.train.batch(indices, None)["images"]
    assert torch.equal(augmented.train.batch(indices, None)["images"], expected)
    assert torch.equal(plain.train.batch(indices, seeded(0))["images"], expected)
    assert torch.equal(
        augmented.validation.batch(indices, seeded(0))["images"],
        augmented.validation.batch(indices, None)["images"],
    )


def test_crop_and_flip_gives_shifted_or_mirrored_images() -> None:
    pixels = torch.randint(1, 256, (200, 2, 16, 16), generator=seeded(0)).to(torch.uint8)
    padded = torch.nn.functional.pad(pixels, (2,) * 4)
    seen = set()
    for before, after in zip(padded, crop_and_flip(pixels, seeded(1)), strict=True):
        matches = [
            (top, left, flipped)
            for top in range(5)
            for left in range(5)
            for flipped in (False, True)
            if torch.equal(
                after.flip(-1) if flipped else after,
                before[:, top : top + 16, left : left + 16],
            )
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(5))
    assert {flipped for _, _, flipped in seen} == {False, True}


def test_images_too_many_for_the_memory_give_the_same_batches(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = image_folder(cifar, 32, augment=True)
    monkeypatch.setattr(folders, "MEMORY_LIMIT", 1000)
    decoding = image_folder(cifar, 32, augment=True)
    assert isinstance(decoding.train, Decoded)
    assert isinstance(in_memory.train, InMemory)
    same = replace(decoding.train, normalise=in_memory.train.normalise)
    indices = torch.tensor([5, 50])
    expected = in_memory.train.batch(indices, seeded(3))
    batch = same.batch(indices, seeded(3))
    assert torch.equal(batch["images"], expected["images"])
    assert torch.equal(batch["labels"], expected["labels"])
    assert len(decoding.train) == 60


def test_a_folder_with_val_instead_of_test(cifar: Path, tmp_path: Path) -> None:
    shutil.copytree(cifar / "train", tmp_path / "train")
    shutil.copytree(cifar / "test", tmp_path / "val")
    assert len(image_folder(tmp_path, 8, augment=False).validation) == 20


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data_root") as raised:
        image_folder(tmp_path / "nowhere", 8, augment=False)
    assert str(tmp_path / "nowhere" / "train") in str(raised.value)


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "test/a", "test/c"):
        image(tmp_path / place / "0.png")
    with pytest.raises(UserError, match="in one of the two only: b, c"):
        image_folder(tmp_path, 8, augment=False)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_an_image_that_does_not_decode_is_named(tmp_path: Path, kind: str) -> None:
    for place in ("train/a", "train/b", "test/a", "test/b"):
        image(tmp_path / place / f"0.{kind}")
    broken = tmp_path / "train" / "a" / f"1.{kind}"
    whole = (tmp_path / "train" / "a" / f"0.{kind}").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="does not decode") as raised:
        image_folder(tmp_path, 8, augment=False)
    assert str(raised.value).startswith(str(broken))
