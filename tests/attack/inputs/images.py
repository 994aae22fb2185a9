"""Class folders of images: missing, empty and damaged ones; downloaded sets of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.attack.inputs.row import refused, told
from tests.attack.inputs.workshop import Workshop, setup, setups

_TWO = ("d/train/dark", "d/train/light", "d/test/dark", "d/test/light")


def _pictures(change: Callable[[Workshop], Any]) -> Callable[[Workshop], None]:
    """Two classes of four pictures in both splits, and then a change."""

    def make(workshop: Workshop) -> None:
        workshop.pictures(*_TWO)
        change(workshop)

    return make


def _instead(content: bytes) -> Callable[[Workshop], None]:
    """One picture's bytes are others."""
    return _pictures(lambda w: w.write("d/train/light/2.png", content))


def _torn(workshop: Workshop) -> None:
    path = workshop.place / "d/train/light/2.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def _link(name: str, target: str) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        path = workshop.place / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return _pictures(make)


@setup
def one_class_only(workshop: Workshop) -> None:
    workshop.pictures("d/train/images", "d/test/images", number=16)


@setup
def classes_one_folder_too_deep(workshop: Workshop) -> None:
    deep = (f"d/{split}/images/{name}" for split in ("train", "test") for name in ("a", "b"))
    workshop.pictures(*deep, number=16)


@setup
def a_picture_larger_than_its_memory(workshop: Workshop) -> None:
    workshop.pictures(*_TWO)
    path = workshop.place / "d/train/light/2.png"
    Image.new("1", (20_000, 20_000)).save(path)


@setup
def a_class_not_ours_to_read(workshop: Workshop) -> None:
    workshop.pictures(*_TWO)
    workshop.without_rights("d/train/light", 0o000)


@setup
def a_picture_not_ours_to_read(workshop: Workshop) -> None:
    workshop.pictures(*_TWO)
    workshop.without_rights("d/train/light/2.png", 0o000)


@setup
def a_picture_is_a_pipe(workshop: Workshop) -> None:
    workshop.pictures(*_TWO)
    workshop.pipe("d/train/light/2.png")


setups(
    folder_is_a_file=lambda w: w.write("d", "not a folder"),
    folder_is_empty=lambda w: w.folder("d"),
    train_is_a_file=lambda w: (w.pictures(*_TWO[2:]), w.write("d/train", "")),
    train_is_empty=lambda w: (w.pictures(*_TWO[2:]), w.folder("d/train")),
    train_holds_pictures_only=lambda w: (w.pictures(*_TWO[2:]), w.pictures("d/train")),
    no_test=lambda w: w.pictures(*_TWO[:2]),
    test_is_empty=lambda w: (w.pictures(*_TWO[:2]), w.folder("d/test")),
    an_empty_class=_pictures(lambda w: (w.folder("d/train/grey"), w.folder("d/test/grey"))),
    a_class_of_texts=_pictures(
        lambda w: (w.write("d/train/grey/a.txt", "x"), w.write("d/test/grey/a.txt", "x"))
    ),
    a_class_of_hidden_pictures=_pictures(
        lambda w: [
            (w.folder(f"d/{split}/grey"), w.write(f"d/{split}/grey/._0.png", b"\0\5\x16\7"))
            for split in ("train", "test")
        ]
    ),
    a_class_for_training_only=_pictures(lambda w: w.pictures("d/train/grey")),
    a_class_for_testing_only=_pictures(lambda w: w.pictures("d/test/grey")),
    a_picture_of_zero_bytes=_instead(b""),
    a_picture_that_is_text=_instead(b"not a picture"),
    a_picture_that_is_html=_instead(b"<html><body>404</body></html>"),
    a_picture_of_zeros=_instead(bytes(2000)),
    a_picture_that_is_torn=_pictures(_torn),
    a_picture_that_is_a_folder=_pictures(
        lambda w: ((w.place / "d/train/light/2.png").unlink(), w.folder("d/train/light/2.png"))
    ),
    a_picture_that_leads_nowhere=_link("d/train/light/2.png", "gone.png"),
    a_picture_that_is_a_circle_of_links=_link("d/train/light/2.png", "2.png"),
    annotations_without_tabs=lambda w: (
        w.pictures("d/train/a", "d/train/b"),
        w.pictures("d/val/images"),
        w.write("d/val/val_annotations.txt", "0.png a\n"),
    ),
    annotations_of_a_missing_picture=lambda w: (
        w.pictures("d/train/a", "d/train/b"),
        w.pictures("d/val/images"),
        w.write("d/val/val_annotations.txt", "9.png\ta\n"),
    ),
    annotations_empty=lambda w: (
        w.pictures("d/train/a", "d/train/b"),
        w.pictures("d/val/images"),
        w.write("d/val/val_annotations.txt", ""),
    ),
    annotations_in_latin_1=lambda w: (
        w.pictures("d/train/a", "d/train/b"),
        w.pictures("d/val/images"),
        w.write("d/val/val_annotations.txt", "0.png\tgrün\n".encode("latin-1")),
    ),
    good_pictures=_pictures(lambda _w: None),
)

PICTURES = refused(
    "main.py",
    ("task.folder=d", "d/train"),
    ("task.folder=", "task.folder"),
    ("task.folder=d", "d/train", "folder_is_a_file"),
    ("task.folder=d", "d/train", "folder_is_empty"),
    ("task.folder=d", "d/train", "train_is_a_file"),
    ("task.folder=d", "d/train", "train_is_empty"),
    ("task.folder=d", "d/train", "train_holds_pictures_only"),
    ("task.folder=d", "d/test", "no_test"),
    ("task.folder=d", "d/test", "test_is_empty"),
    ("task.folder=d", "grey", "an_empty_class"),
    ("task.folder=d", "grey", "a_class_of_texts"),
    ("task.folder=d", "grey", "a_class_of_hidden_pictures"),
    ("task.folder=d", "classes | grey", "a_class_for_training_only"),
    ("task.folder=d", "classes | grey", "a_class_for_testing_only"),
    ("task.folder=d", "d/train | images", "one_class_only"),
    ("task.folder=d", "d/train | images", "classes_one_folder_too_deep"),
    ("task.folder=d", "light/2.png", "a_picture_of_zero_bytes"),
    ("task.folder=d", "light/2.png", "a_picture_that_is_text"),
    ("task.folder=d", "light/2.png", "a_picture_that_is_html"),
    ("task.folder=d", "light/2.png", "a_picture_of_zeros"),
    ("task.folder=d", "light/2.png", "a_picture_that_is_torn"),
    ("task.folder=d task.crop=resized", "light/2.png", "a_picture_that_is_torn"),
    ("task.folder=d", "light/2.png", "a_picture_that_leads_nowhere"),
    ("task.folder=d", "light/2.png", "a_picture_that_is_a_circle_of_links"),
    ("task.folder=d", "light/2.png", "a_picture_larger_than_its_memory"),
    ("task.folder=d", "light/2.png", "a_picture_is_a_pipe"),
    ("task.folder=d", "light", "a_class_not_ours_to_read"),
    ("task.folder=d", "light/2.png", "a_picture_not_ours_to_read"),
    ("task.folder=d", "val_annotations.txt, line 1", "annotations_without_tabs"),
    ("task.folder=d", "val_annotations.txt, line 1 | 9.png", "annotations_of_a_missing_picture"),
    ("task.folder=d", "val_annotations.txt", "annotations_empty"),
    ("task.folder=d", "val_annotations.txt | utf-8", "annotations_in_latin_1"),
    ("task.folder=d task.validation=val", "d/val", "good_pictures"),
    ("task.folder=d task.size=0", "task.size", "good_pictures"),
    ("task.folder=d task.crop=square", "task.crop", "good_pictures"),
    ("task.folder=d model=vit model.patch=3", "model.patch is 3", "good_pictures"),
    ("task.folder=d task.normalisation=1", "task.normalisation", "good_pictures"),
    ("task.folder=d task.normalisation.mean=[0,0,0]", "task.normalisation", "good_pictures"),
    (
        ["task.folder=d", "task.normalisation={mean: [0.5,0.5], std: [1,1]}"],
        "task.normalisation.mean",
        "good_pictures",
    ),
    (
        ["task.folder=d", "task.normalisation={mean: [0.5,0.5,0.5], std: [0,0.1,0.1]}"],
        "task.normalisation.std",
        "good_pictures",
    ),
    before="task=image_folder task.size=8 trainer.batch_size=4 trainer.epochs=1 model.width=4 "
    "data_root=.",
)

CHECKED = told(
    "experiments",
    ("", "checked | 8 training", "good_pictures"),
    before="prefetch task=image_folder task.folder=d task.size=8 model.width=4 data_root=.",
)

ROWS = [*PICTURES, *CHECKED]
