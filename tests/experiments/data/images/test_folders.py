"""Tiny-ImageNet's and ImageNet's folders, made from the real CIFAR-10 images."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import get_worker_info
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from experiments.data.base import Batch
from experiments.data.images.crops import box_of, middle, random_draws
from experiments.data.images.folders import Decoded, image_folder, open_rgb
from experiments.data.images.sources import ImageData, Normalisation
from experiments.errors import UserError
from experiments.training.batches import evaluation_batches, training_batches
from tests.experiments.data.locations import data_root

CLASSES = ("n01", "n02")
IMAGENET = Normalisation.known((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def real(part: str, name: str, count: int) -> list[Path]:
    return sorted((data_root() / "cifar10_images" / part / name).iterdir())[:count]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Cats and ships as Tiny-ImageNet packs its classes: 12 for training, 10 for validation."""
    lines = []
    (tmp_path / "val" / "images").mkdir(parents=True)
    # Its test images have no classes, and must not be taken for the validation part.
    (tmp_path / "test" / "images").mkdir(parents=True)
    shutil.copy(real("test", "dog", 1)[0], tmp_path / "test" / "images" / "test_0.JPEG")
    for label, name in zip(CLASSES, ("cat", "ship"), strict=True):
        (tmp_path / "train" / label / "images").mkdir(parents=True)
        (tmp_path / "train" / label / f"{label}_boxes.txt").write_text("0\t0\t62\t62\n")
        for number, path in enumerate(real("train", name, 6)):
            shutil.copy(path, tmp_path / "train" / label / "images" / f"{label}_{number}.JPEG")
        for path in real("test", name, 5):
            target = f"val_{len(lines)}.JPEG"
            shutil.copy(path, tmp_path / "val" / "images" / target)
            lines.append(f"{target}\t{label}\t0\t32\t44\t62\n")
    # In the order of neither names nor classes.
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines[1::2] + lines[::2]))
    return tmp_path


def read_tiny(folder: Path) -> ImageData:
    return image_folder(folder, 32, augment=True, validation="val")


def test_tiny_imagenet_is_read_as_it_is_packed(tiny: Path) -> None:
    data = read_tiny(tiny)
    assert (len(data.train), len(data.validation), data.classes) == (12, 10, 2)
    batch = data.validation.batch(torch.arange(10), None)
    assert batch["labels"].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    first = torch.as_tensor(list(Image.open(real("test", "cat", 2)[1]).tobytes()))
    pixels = first.reshape(1, 32, 32, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(batch["images"][:1], data.train.normalise(pixels))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("val_3.JPEG n02\n", "line 11: must be an image's name, a tab and its class"),
        ("../val_3.JPEG\tn02\n", "line 11: must be an image's name"),
        ("\tn02\n", "line 11: must be an image's name"),
        ("val_77.JPEG\tn02\n", "line 11: no such image: images/val_77.JPEG"),
        ("val_3.JPEG\tn0\udcff3\n", "cannot be read: 'utf-8' codec can't decode byte 0xff"),
        ("val_3.JPEG\tn03\n", "in one of the two only: n03"),
    ],
)
def test_a_wrong_line_of_the_annotations_is_named(tiny: Path, line: str, message: str) -> None:
    with (tiny / "val" / "val_annotations.txt").open("a", errors="surrogateescape") as file:
        file.write(line)
    with pytest.raises(UserError) as raised:
        read_tiny(tiny)
    assert message in str(raised.value)


def test_annotations_without_an_image_are_refused(tiny: Path) -> None:
    (tiny / "val" / "val_annotations.txt").write_text("")
    with pytest.raises(UserError, match=r"val_annotations\.txt: has no images"):
        read_tiny(tiny)


def test_the_validation_part_that_is_named_must_exist(tiny: Path) -> None:
    shutil.rmtree(tiny / "val")
    with pytest.raises(UserError, match=f"no such folder: {tiny / 'val'};"):
        read_tiny(tiny)


# -------------------------------------------------------------------------- what else lies there


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two classes of two images each, for training and for testing."""
    for part, label, number in product(("train", "test"), ("dark", "light"), range(2)):
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 200 * (label == "light")).save(
            tmp_path / part / label / f"{number}.png"
        )
    return tmp_path


def read_classes(folder: Path) -> ImageData:
    return image_folder(folder, 4, augment=False)


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        read_classes(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_hidden_is_no_image_and_no_class(
    classes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (classes / "train" / ".git").mkdir()
    (classes / "train" / "dark" / "._0.png").write_bytes(b"Mac OS X")
    (classes / "train" / "dark" / ".ipynb_checkpoints").mkdir()
    copy = classes / "train" / "dark" / ".ipynb_checkpoints" / "0-checkpoint.png"
    shutil.copy(classes / "train" / "dark" / "0.png", copy)
    data = read_classes(classes)
    assert (len(data.train), data.classes) == (4, 2)
    assert not caplog.messages


def test_files_that_are_left_out_are_reported_in_one_line(
    classes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("dark/a.gif", "dark/b.gif", "light/notes.txt", "beside.png"):
        (classes / "train" / name).write_bytes(b"")
    assert len(read_classes(classes).train) == 4
    (line,) = caplog.messages
    assert line.startswith(f"{classes / 'train'}: 4 files are left out")
    assert ".gif 2" in line
    assert str(classes / "train" / "dark" / "a.gif") in line


def test_the_boxes_of_tiny_imagenet_are_no_surprise(
    tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_tiny(tiny)
    assert not caplog.messages


@pytest.mark.parametrize("between", ["images", "data/images"])
def test_classes_that_lie_too_deep_are_found_and_named(classes: Path, between: str) -> None:
    for part in ("train", "test"):
        (classes / part).rename(classes / "moved")
        (classes / part / between).parent.mkdir(parents=True)
        (classes / "moved").rename(classes / part / between)
    place = classes / "train" / between
    assert refusal(classes) == (
        f"{classes / 'train'}: only one class, '{between.split('/')[0]}', so that there is nothing "
        f"to learn; every class needs a folder of its own; {place} holds 'dark', 'light': "
        f"if these are the classes, move them up to {classes / 'train'}"
    )


def test_a_single_class_is_refused(classes: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(classes / part / "light")
    assert refusal(classes).startswith(f"{classes / 'train'}: only one class, 'dark'")


def test_a_single_class_of_annotations_is_refused(tiny: Path) -> None:
    annotations = tiny / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("n02", "n01"))
    with pytest.raises(UserError, match=r"val_annotations\.txt: only one class, 'n01'"):
        read_tiny(tiny)


def test_a_class_without_images_is_named(classes: Path) -> None:
    (classes / "train" / "none").mkdir()
    message = refusal(classes)
    assert message.startswith(f"{classes / 'train'}: ")
    assert "none" in message


def test_images_without_class_folders_are_refused(classes: Path) -> None:
    for label in ("dark", "light"):
        (classes / "train" / label / "0.png").rename(classes / "train" / f"{label}.png")
        shutil.rmtree(classes / "train" / label)
    assert refusal(classes) == f"{classes / 'train'}: has no class folders"


# ------------------------------------------------------------------------- ImageNet's crops


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Real images, enlarged to sizes of their own: 16 for training, 6 for validation."""
    sizes = [(64, 48), (40, 40), (37, 90), (200, 50)]
    for part, source, count in (("train", "train", 8), ("val", "test", 3)):
        for label, name in zip(CLASSES, ("cat", "ship"), strict=True):
            (tmp_path / part / label).mkdir(parents=True)
            for number, path in enumerate(real(source, name, count)):
                image = Image.open(path).resize(sizes[number % 4])
                image.save(tmp_path / part / label / f"{number}.JPEG")
    return tmp_path


def read_imagenet(folder: Path, *, augment: bool = True) -> ImageData:
    return image_folder(folder, 28, augment, crop="resized", validation="val", normalise=IMAGENET)


def test_evaluation_sees_the_middle_as_torchvision_cuts_it(imagenet: Path) -> None:
    data = read_imagenet(imagenet)
    images = data.validation.batch(torch.arange(6), seeded(0))["images"]
    paths = sorted((imagenet / "val").rglob("*.JPEG"))
    for path, image in zip(paths, images, strict=True):
        resized = reference.resize(Image.open(path), [32], InterpolationMode.BILINEAR)
        pixels = reference.pil_to_tensor(reference.center_crop(resized, [28])) / 255
        expected = reference.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        torch.testing.assert_close(image, expected, atol=1e-5, rtol=1e-5)


def test_the_middle_of_a_line_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    resize = Image.Image.resize

    def noted(self: Image.Image, size: tuple[int, int], *rest: object) -> Image.Image:
        sizes.append(size)
        return resize(self, size, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", noted)
    assert middle(Image.new("RGB", (3000, 1)), 224).size == (224, 224)
    assert max(width * height for width, height in sizes) < 1_000_000


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_the_middle_is_always_there(width: int, height: int, grey: int) -> None:
    assert middle(Image.new("RGB", (width, height), (grey % 256,) * 3), 28).size == (28, 28)


def test_the_middle_of_a_long_image_is_that_of_the_whole() -> None:
    grey = torch.arange(90).repeat(5, 1) * 2
    long = Image.fromarray(grey.to(torch.uint8).numpy()).convert("RGB")
    expected = reference.center_crop(reference.resize(long, [32]), [28])
    seen, whole = (reference.pil_to_tensor(image) for image in (middle(long, 28), expected))
    assert (seen.int() - whole.int()).abs().max() <= 1


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32))
def test_a_part_lies_in_the_image_with_an_allowed_area_and_shape(
    width: int, height: int, seed: int
) -> None:
    left, top, right, bottom = box_of(random_draws(1, seeded(seed))[0], width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(width, height) > 100:
        assert 0.07 <= (right - left) * (bottom - top) / (width * height) <= 1
        assert 0.72 <= (right - left) / (bottom - top) <= 1.39


def test_parts_are_as_large_and_where_torchvisions_are() -> None:
    boxes = torch.tensor([box_of(d, 300, 200) for d in random_draws(1000, seeded(0))]).double()
    torch.manual_seed(0)
    image = torch.zeros(3, 200, 300)
    peers = [RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(1000)]
    top, left, height, width = torch.tensor(peers).double().unbind(1)
    expected = torch.stack([left, top, left + width, top + height], 1)
    torch.testing.assert_close(boxes.mean(0), expected.mean(0), atol=6, rtol=0)
    torch.testing.assert_close(boxes.std(0), expected.std(0), atol=6, rtol=0)


def test_a_training_batch_is_a_function_of_indices_and_generator(imagenet: Path) -> None:
    train = read_imagenet(imagenet).train
    indices = torch.tensor([3, 9, 3])
    state = torch.get_rng_state()
    first = train.batch(indices, seeded(1))["images"]
    assert torch.equal(first, train.batch(indices, seeded(1))["images"])
    assert not torch.equal(first, train.batch(indices, seeded(2))["images"])
    assert not torch.equal(first[0], first[2])
    assert torch.equal(state, torch.get_rng_state())
    still = read_imagenet(imagenet, augment=False).train.batch(indices, seeded(1))["images"]
    assert torch.equal(still, train.batch(indices, None)["images"])


def test_half_of_the_images_are_mirrored(tmp_path: Path) -> None:
    for part, label in product(("train", "val"), ("a", "b")):
        (tmp_path / part / label).mkdir(parents=True)
        image = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90)
        image.save(tmp_path / part / label / "0.png")
    images = read_imagenet(tmp_path).train.batch(torch.zeros(200).long(), seeded(0))["images"]
    assert 75 < (images[:, 0, 14, 0] > images[:, 0, 14, -1]).sum() < 125


def test_without_a_known_normalisation_it_is_the_training_parts(imagenet: Path) -> None:
    data = image_folder(imagenet, 28, augment=False, crop="resized", validation="val")
    everything = data.train.batch(torch.arange(16), None)["images"]
    torch.testing.assert_close(everything.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)


class WhereDecoded(Decoded):
    """Says in the labels which worker made the batch."""

    def batch(self, indices: torch.Tensor, generator: torch.Generator | None) -> Batch:
        worker = get_worker_info()
        return {"labels": torch.tensor([-1 if worker is None else worker.id])}


def test_workers_decode(imagenet: Path) -> None:
    train = read_imagenet(imagenet).train
    assert isinstance(train, Decoded)
    source = WhereDecoded(train.files, train.size, train.normalise, train.augment, train.crop)
    batches = evaluation_batches(source, batch_size=4, workers=2)
    assert {int(batch["labels"]) for batch in batches} == {0, 1}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_does_not_decode_is_one_line_from_a_worker_too(
    imagenet: Path, workers: int
) -> None:
    data = read_imagenet(imagenet)
    broken = imagenet / "train" / "n01" / "3.JPEG"
    broken.write_bytes(broken.read_bytes()[:500])
    batches = training_batches(data.train, seed=0, batch_size=16, workers=workers)
    with pytest.raises(UserError, match="does not decode") as raised:
        next(batches)
    assert str(raised.value).startswith(str(broken))
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError):
        open_rgb(str(broken))
