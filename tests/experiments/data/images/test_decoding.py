"""Images of every mode: their grey is what it was, or they are refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.data.images.folders import open_rgb
from experiments.errors import UserError

LEVELS = np.array([[0, 12_000, 45_000, 65_535]], dtype=np.uint16)


def greys(path: Path) -> list[int]:
    """The image's levels; all three colours must have them."""
    pixels = np.asarray(open_rgb(str(path)))
    assert (pixels == pixels[:, :, :1]).all()
    return [int(level) for level in pixels[0, :, 0]]


def mode_of(path: Path) -> str:
    with Image.open(path) as image:
        return image.mode


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        open_rgb(str(path))
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "I;16"), ("a.tif", "I;16"), ("a.tif", "I;16B"), ("a.pgm", "I"), ("a.jp2", "I;16")],
)
def test_grey_of_sixteen_bits_keeps_its_upper_eight(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    image = Image.fromarray(LEVELS.astype(">u2") if mode == "I;16B" else LEVELS)
    image.save(path)
    assert mode_of(path) == mode
    assert greys(path) == [level >> 8 for level in LEVELS[0].tolist()]


def test_a_pgm_is_white_where_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P2 3 1 1000 0 500 1000")
    assert greys(path) == [0, 128, 255]


def test_white_is_zero_in_a_tiff_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(LEVELS).save(path, tiffinfo={262: 0})
    assert greys(path) == [255 - (level >> 8) for level in LEVELS[0].tolist()]


def test_grey_of_twelve_bits_is_scaled_by_twelve(tmp_path: Path) -> None:
    """Pillow writes none: 2 × 1 pixels, 0x800 and 0xFFF, in a TIFF made by hand."""
    fields = [
        *((256, 3, 2), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1)),
        *((273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, 3)),
    ]
    ifd = len(fields).to_bytes(2, "little")
    for tag, kind, value in fields:
        ifd += tag.to_bytes(2, "little") + kind.to_bytes(2, "little")
        ifd += (1).to_bytes(4, "little") + value.to_bytes(4, "little")
    path = tmp_path / "a.tif"
    head = b"II*\0" + (12).to_bytes(4, "little")
    path.write_bytes(head + b"\x80\x0f\xff\0" + ifd + bytes(4))
    assert greys(path) == [0x80, 0xFF]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_eight_bits_are_what_they_were(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert(mode).save(path)
    assert greys(path) == [0, 255]


def test_colours_of_a_palette_are_its_colours(tmp_path: Path) -> None:
    colours = Image.fromarray(np.array([[[250, 10, 20], [5, 90, 200]]], dtype=np.uint8))
    colours.quantize(2).save(tmp_path / "a.png")
    assert mode_of(tmp_path / "a.png") == "P"
    seen = np.asarray(open_rgb(str(tmp_path / "a.png")))
    assert np.abs(seen.astype(int) - np.asarray(colours)).max() <= 8


@pytest.mark.parametrize(
    ("mode", "meaning"), [("I", "whole numbers of 32 bits"), ("F", "floats"), ("LAB", "CIE")]
)
def test_what_has_no_known_white_is_refused(tmp_path: Path, mode: str, meaning: str) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (2, 2)).save(path)
    assert f"has the mode '{mode}' ({meaning}" in refusal(path)


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (30, 30)).save(path)
    for limit in (800, 400):  # Pillow warns above its limit, and raises above twice as much
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert f"too large to decode, above {limit} pixels" in refusal(path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("a note")
    assert refusal(path) == f"{path}: this image does not decode: not an image"
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a file that can be read" in refusal(tmp_path / "pipe.png")
