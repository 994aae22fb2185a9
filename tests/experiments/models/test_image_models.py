"""ResNet, EfficientNet, ViT and MLP: shapes at every size, peers, batches of one, wrong sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import efficientnet_b0, resnet18, resnet34, resnet50

from experiments.errors import UserError
from experiments.models.efficientnet import EfficientNet
from experiments.models.layers import BatchNorm2d
from experiments.models.mlp import MLP, PictureMLP
from experiments.models.resnet import ResNet, Stem
from experiments.models.vit import ViT


def vit(**changes: int) -> ViT:
    sizes = {"size": 8, "patch": 4, "width": 16, "layers": 2, "heads": 2, "in_channels": 1}
    return ViT(**(sizes | changes), dropout=0.0, classes=7)


def resnet(depth: int, *, stem: Stem = "cifar", width: int = 4, channels: int = 3) -> ResNet:
    return ResNet(depth=depth, stem=stem, width=width, in_channels=channels, classes=7)


def efficientnet(stem: Stem = "standard", channels: int = 3, classes: int = 7) -> EfficientNet:
    return EfficientNet(
        variant="b0", stem=stem, dropout=None, in_channels=channels, classes=classes
    )


@pytest.mark.parametrize("stem", ["cifar", "standard"])
@pytest.mark.parametrize("depth", [8, 18, 34, 50])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_resnet_gives_a_logit_for_each_class(
    depth: int, stem: Stem, channels: int, size: int
) -> None:
    logits = resnet(depth, stem=stem, channels=channels)(torch.randn(2, channels, size, size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def assert_same_but_for_names(model: nn.Module, peer: nn.Module, images: torch.Tensor) -> None:
    """Both have the same parameters in the same order, and with these the same output."""
    shapes = [tuple(value.shape) for value in model.state_dict().values()]
    assert shapes == [tuple(value.shape) for value in peer.state_dict().values()]
    weights = zip(peer.state_dict(), model.state_dict().values(), strict=True)
    peer.load_state_dict(dict(weights))
    torch.testing.assert_close(model.eval()(images), peer.eval()(images))


@pytest.mark.parametrize(("depth", "reference"), [(18, resnet18), (34, resnet34), (50, resnet50)])
@pytest.mark.parametrize("stem", ["cifar", "standard"])
def test_resnet_of_width_64_is_torchvisions_but_for_the_cifar_stem(
    depth: int, reference: Callable[..., nn.Module], stem: Stem
) -> None:
    model = resnet(depth, stem=stem, width=64)
    peer = reference(num_classes=7)
    if stem == "cifar":
        peer.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        peer.maxpool = nn.Identity()
    assert_same_but_for_names(model, peer, torch.randn(2, 3, 32, 32))


def test_efficientnet_is_torchvisions() -> None:
    peer = efficientnet_b0(num_classes=7)
    assert_same_but_for_names(efficientnet(), peer, torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize(("stem", "side"), [("standard", 1), ("cifar", 2)])
def test_efficientnet_halves_the_image_five_times_or_four(stem: Stem, side: int) -> None:
    model = efficientnet(stem, channels=1).eval()
    images = torch.randn(2, 1, 28, 28)
    assert model.network.features(images).shape[2:] == (side, side)
    assert model(images).shape == (2, 7)


# The last batch of an epoch may be a single image, and the last features 1×1.
SHRINKING = {
    "resnet-18": lambda: resnet(18, channels=1),
    "resnet-50": lambda: resnet(50, stem="standard", channels=1),
    "efficientnet": lambda: efficientnet(channels=1),
}


@pytest.mark.parametrize("name", SHRINKING)
def test_a_batch_of_one_image_with_features_of_one_pixel_trains(name: str) -> None:
    torch.manual_seed(0)
    model = SHRINKING[name]().train()
    model(torch.randn(4, 1, 8, 8))
    model(torch.randn(1, 1, 8, 8)).logsumexp(1).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert all(buffer.isfinite().all() for buffer in model.buffers())


def test_batch_norm_is_torchs_wherever_there_are_two_values_a_channel() -> None:
    torch.manual_seed(0)
    ours, torchs = BatchNorm2d(3).train(), nn.BatchNorm2d(3).train()
    for shape in [(2, 3, 1, 1), (1, 3, 2, 1), (4, 3, 5, 5)]:
        values = torch.randn(shape)
        assert torch.equal(ours(values), torchs(values))
    assert all(map(torch.equal, ours.state_dict().values(), torchs.state_dict().values()))


def test_batch_norm_of_a_single_value_is_that_of_evaluation_and_changes_nothing() -> None:
    norm = BatchNorm2d(3).train()
    norm(torch.randn(8, 3, 2, 2))
    state = {key: value.clone() for key, value in norm.state_dict().items()}
    single = torch.randn(1, 3, 1, 1)
    trained = norm(single)
    assert all(torch.equal(state[key], value) for key, value in norm.state_dict().items())
    assert torch.equal(trained, norm.eval()(single))
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm2d(3).train()(single)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_vit_gives_a_logit_for_each_class(channels: int, size: int) -> None:
    model = vit(size=size, in_channels=channels)
    assert model(torch.randn(2, channels, size, size)).shape == (2, 7)


def test_vit_sees_every_pixel() -> None:
    model = vit()
    nn.init.normal_(model.transformer.heads.head.weight)
    image = torch.randn(1, 1, 8, 8, requires_grad=True)
    model(image).square().sum().backward()
    assert image.grad is not None
    assert (image.grad != 0).all()


def test_vit_refuses_a_patch_that_does_not_divide_the_image() -> None:
    with pytest.raises(UserError, match=r"model\.patch is 3; it must divide .* 8"):
        vit(patch=3)


def test_vit_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(UserError, match=r"model\.heads is 3; it must divide model\.width, 16"):
        vit(heads=3)


@pytest.mark.parametrize(("size", "patch"), [(8, 4), (28, 4), (32, 4), (64, 8), (224, 16)])
def test_vit_without_a_patch_size_takes_one_that_fits_the_image(size: int, patch: int) -> None:
    model = ViT(
        size=size, patch=None, width=4, layers=1, heads=1, dropout=0, in_channels=1, classes=2
    )
    assert model.transformer.patch_size == patch
    assert model(torch.randn(1, 1, size, size)).shape == (1, 2)


def test_an_mlp_of_images_is_that_of_their_pixels_in_a_row() -> None:
    sizes = {"inputs": 3 * 8 * 8, "width": 16, "layers": 2, "dropout": 0.0, "classes": 7}
    of_images, of_tables = PictureMLP(**sizes), MLP(**sizes)
    of_tables.load_state_dict(of_images.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(of_images(images), of_tables(images.reshape(2, -1)))
