"""ResNet and ViT: shapes at every size, sizes that do not divide."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34

from experiments.errors import UserError
from experiments.models.resnet import CifarResNet
from experiments.models.vit import ViT


def vit(**changes: int) -> ViT:
    sizes = {"size": 8, "patch": 4, "width": 16, "layers": 2, "heads": 2, "in_channels": 1}
    return ViT(**(sizes | changes), dropout=0.0, classes=7)


@pytest.mark.parametrize("depth", [8, 18, 34])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_resnet_gives_a_logit_for_each_class(depth: int, channels: int, size: int) -> None:
    model = CifarResNet(depth=depth, width=4, in_channels=channels, classes=7)
    logits = model(torch.randn(2, channels, size, size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("depth", "reference"), [(18, resnet18), (34, resnet34)])
def test_resnet_of_width_64_is_torchvisions_but_for_the_stem(depth: int, reference: object) -> None:
    model = CifarResNet(depth=depth, width=64, in_channels=3, classes=1000)
    peer = reference()  # type: ignore[operator]
    peer.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    peer.maxpool = nn.Identity()
    shapes = [tuple(value.shape) for value in model.state_dict().values()]
    assert shapes == [tuple(value.shape) for value in peer.state_dict().values()]
    weights = zip(peer.state_dict(), model.state_dict().values(), strict=True)
    peer.load_state_dict(dict(weights))
    pictures = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.eval()(pictures), peer.eval()(pictures))


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_vit_gives_a_logit_for_each_class(channels: int, size: int) -> None:
    model = vit(size=size, in_channels=channels)
    assert model(torch.randn(2, channels, size, size)).shape == (2, 7)


def test_vit_sees_every_pixel() -> None:
    model = vit()
    nn.init.normal_(model.transformer.heads.head.weight)
    picture = torch.randn(1, 1, 8, 8, requires_grad=True)
    model(picture).square().sum().backward()
    assert picture.grad is not None
    assert (picture.grad != 0).all()


def test_vit_refuses_a_patch_that_does_not_divide_the_picture() -> None:
    with pytest.raises(UserError, match=r"model\.patch is 3; it must divide .* 8"):
        vit(patch=3)


def test_vit_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(UserError, match=r"model\.heads is 3; it must divide model\.width, 16"):
        vit(heads=3)
