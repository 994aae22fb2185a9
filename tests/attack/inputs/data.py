"""Data and models: missing, empty and damaged folders, pictures, texts, rows, weights."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.attack.inputs.row import refused, told
from tests.attack.inputs.workshop import SETUPS, Workshop, setup, setups

# ------------------------------------------------------------------------------------ pictures

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

# ------------------------------------------------------------------- downloaded sets and tables


@setup
def mnist_torn(workshop: Workshop) -> None:
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        workshop.write(f"MNIST/raw/{part}-ubyte", b"\0\0\x08\x03\0\0")


@setup
def cifar_of_pickles(workshop: Workshop) -> None:
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        workshop.write(f"cifar-10-batches-py/{name}", pickle.dumps({"data": [1]}))


@setup
def covertype_torn(workshop: Workshop) -> None:
    workshop.write("scikit_learn_data/covertype/samples_py3", b"\x78\x9c\x01")
    workshop.write("scikit_learn_data/covertype/targets_py3", b"")


@setup
def openml_that_is_no_json(workshop: Workshop) -> None:
    place = "scikit_learn_data/openml/openml.org/api/v1/json/data/list/data_name/adult/limit/2"
    workshop.write(f"{place}/data_version/2.gz", gzip.compress(b"{"))


@setup
def openml_of_another_shape(workshop: Workshop) -> None:
    place = "scikit_learn_data/openml/openml.org/api/v1/json/data/list/data_name/adult/limit/2"
    workshop.write(f"{place}/data_version/2.gz", gzip.compress(b"[1]"))


setups(
    mnist_empty=lambda w: w.folder("MNIST/raw"),
    cifar_empty=lambda w: w.folder("cifar-10-batches-py"),
    covertype_empty=lambda w: w.folder("scikit_learn_data/covertype"),
    covertype_a_file=lambda w: w.write("scikit_learn_data/covertype", "x"),
)

SETS = refused(
    "main.py",
    ("task=mnist", "mnist | MNIST/raw"),
    ("task=mnist", "mnist | MNIST/raw", "mnist_empty"),
    ("task=mnist", "mnist | MNIST/raw", "mnist_torn"),
    ("task=fashion_mnist", "fashion_mnist | FashionMNIST/raw"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py", "cifar_empty"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py", "cifar_of_pickles"),
    ("task=cifar100 model=resnet", "cifar100 | cifar-100-python"),
    ("task=covertype", "covertype | scikit_learn_data"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_empty"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_a_file"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_torn"),
    ("task=openml", "openml 'adult', version 2"),
    ("task=openml", "openml 'adult', version 2", "openml_that_is_no_json"),
    ("task=openml", "openml 'adult', version 2", "openml_of_another_shape"),
    ("task=openml task.dataset=../adult", "task.dataset"),
    ("task=openml task.dataset=", "task.dataset"),
    ("task=openml task.version=0", "task.version"),
    ("task=mnist task.dataset=mnst", "task.dataset | did you mean 'mnist'"),
    before="data_root=.",
) + refused(
    "main.py",
    ("task=mnist", "mnist | data_root"),
    ("task=covertype", "covertype | data_root"),
    ("task=glue/mrpc", "mrpc | data_root"),
    ("task=lm/shakespeare", "data_root"),
    ("task=image_folder", "task.folder | data_root"),
    ("task=image_folder task.folder=d data_root=nowhere", "nowhere/d/train"),
    (
        "task=image_folder task.folder=d data_root=. trainer.batch_size=9",
        "batch_size | 9 | 8",
        "good_pictures",
    ),
)

# ---------------------------------------------------------------------------------------- GLUE

_SST2_HEADER = "sentence\tlabel\n"
_SST2 = _SST2_HEADER + "".join(f"a film number {n}\t{n % 2}\n" for n in range(16))


def _sst2(train: str | bytes, dev: str | bytes = _SST2) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        workshop.write("glue/SST-2/train.tsv", train)
        workshop.write("glue/SST-2/dev.tsv", dev)

    return make


@setup
def sst2_train_is_a_folder(workshop: Workshop) -> None:
    workshop.folder("glue/SST-2/train.tsv")


@setup
def sst2_train_is_a_pipe(workshop: Workshop) -> None:
    workshop.folder("glue/SST-2")
    workshop.pipe("glue/SST-2/train.tsv")


@setup
def sst2_not_ours_to_read(workshop: Workshop) -> None:
    _sst2(_SST2)(workshop)
    workshop.without_rights("glue/SST-2/train.tsv", 0o000)


@setup
def stsb_beyond_its_scale(workshop: Workshop) -> None:
    header = "\t".join(["index", "sentence1", "sentence2", "score"])
    workshop.write("glue/STS-B/train.tsv", f"{header}\n0\ta\tb\t5.5\n")


@setup
def stsb_without_a_number(workshop: Workshop) -> None:
    header = "\t".join(["index", "sentence1", "sentence2", "score"])
    workshop.write("glue/STS-B/train.tsv", f"{header}\n0\ta\tb\tnan\n")


@setup
def mnli_of_an_unknown_label(workshop: Workshop) -> None:
    header = "\t".join(["index", "sentence1", "sentence2", "gold_label"])
    workshop.write("glue/MNLI/train.tsv", f"{header}\n0\ta\tb\t-\n")


@setup
def cola_of_three_columns(workshop: Workshop) -> None:
    workshop.write("glue/CoLA/train.tsv", "gj04\t1\tA sentence.\n")


setups(
    glue_is_a_file=lambda w: w.write("glue", ""),
    sst2_missing=lambda w: w.folder("glue/SST-2"),
    sst2_without_dev=lambda w: w.write("glue/SST-2/train.tsv", _SST2),
    sst2_empty=_sst2(""),
    sst2_blank=_sst2("\n\n"),
    sst2_header_only=_sst2(_SST2_HEADER),
    sst2_without_header=_sst2("a film\t1\nanother\t0\n"),
    sst2_header_misspelt=_sst2(_SST2.replace("sentence", "sentense", 1)),
    sst2_with_commas=_sst2(_SST2.replace("\t", ",")),
    sst2_with_too_many_fields=_sst2(_SST2 + "a\tb\t1\n"),
    sst2_with_too_few_fields=_sst2(_SST2 + "a film without label\n"),
    sst2_with_a_blank_line=_sst2(_SST2_HEADER + "\na film\t1\n"),
    sst2_cut_off=_sst2(_SST2[:-2]),
    sst2_with_a_word_as_label=_sst2(_SST2 + "a film\tgood\n"),
    sst2_with_a_third_label=_sst2(_SST2 + "a film\t2\n"),
    sst2_with_a_label_and_a_space=_sst2(_SST2 + "a film\t1 \n"),
    sst2_without_a_label=_sst2(_SST2 + "a film\t\n"),
    sst2_with_a_fraction_as_label=_sst2(_SST2 + "a film\t0.5\n"),
    sst2_in_latin_1=_sst2(_SST2.encode() + "gr\xfcn\t1\n".encode("latin-1")),
    sst2_in_utf_16=_sst2(_SST2.encode("utf-16")),
    sst2_of_zeros=_sst2(bytes(64)),
    sst2_compressed=_sst2(gzip.compress(_SST2.encode())),
    sst2_dev_empty=_sst2(_SST2, ""),
    sst2_dev_without_labels=_sst2(_SST2, "index\tsentence\n0\ta film\n"),
    sst2_good=_sst2(_SST2),
)

_TRAIN = "SST-2/train.tsv"
_BERT = "model=bert model.name=bert"
_SMALL = "model.layers=1 trainer.batch_size=4 task.max_tokens=8"


def _with_bert(name: str) -> str:
    """The set-up of this name, and a pretrained model beside it."""
    make = SETUPS[name]

    def both(workshop: Workshop) -> None:
        make(workshop)
        workshop.bert()

    both.__name__ = f"{name}_with_bert"
    if both.__name__ not in SETUPS:
        setup(both)
    return both.__name__


GLUE = refused(
    "main.py",
    ("task=glue/sst2", f"{_TRAIN}", "glue_is_a_file"),
    ("task=glue/sst2", f"{_TRAIN}", "sst2_missing"),
    ("task=glue/sst2", "SST-2/dev.tsv", "sst2_without_dev"),
    ("task=glue/sst2", f"{_TRAIN}", "sst2_train_is_a_folder"),
    ("task=glue/sst2", f"{_TRAIN}", "sst2_train_is_a_pipe"),
    ("task=glue/sst2", f"{_TRAIN}", "sst2_not_ours_to_read"),
    ("task=glue/sst2", f"{_TRAIN} | empty", "sst2_empty"),
    ("task=glue/sst2", f"{_TRAIN}:1 | sentence", "sst2_blank"),
    ("task=glue/sst2", f"{_TRAIN} | no examples", "sst2_header_only"),
    ("task=glue/sst2", f"{_TRAIN}:1 | 'sentence'", "sst2_without_header"),
    ("task=glue/sst2", f"{_TRAIN}:1 | 'sentence'", "sst2_header_misspelt"),
    ("task=glue/sst2", f"{_TRAIN}:1 | 'sentence'", "sst2_with_commas"),
    ("task=glue/sst2", f"{_TRAIN}:18 | 3 fields", "sst2_with_too_many_fields"),
    ("task=glue/sst2", f"{_TRAIN}:18 | 1 fields", "sst2_with_too_few_fields"),
    ("task=glue/sst2", f"{_TRAIN}:2", "sst2_with_a_blank_line"),
    ("task=glue/sst2", f"{_TRAIN}:17", "sst2_cut_off"),
    ("task=glue/sst2", f"{_TRAIN}:18 | 'good' | 0 or 1", "sst2_with_a_word_as_label"),
    ("task=glue/sst2", f"{_TRAIN}:18 | '2' | 0 or 1", "sst2_with_a_third_label"),
    ("task=glue/sst2", f"{_TRAIN}:18 | '1 '", "sst2_with_a_label_and_a_space"),
    ("task=glue/sst2", f"{_TRAIN}:18 | ''", "sst2_without_a_label"),
    ("task=glue/sst2", f"{_TRAIN}:18 | '0.5'", "sst2_with_a_fraction_as_label"),
    ("task=glue/sst2", f"{_TRAIN}:18 | not UTF-8", "sst2_in_latin_1"),
    ("task=glue/sst2", f"{_TRAIN}:1", "sst2_in_utf_16"),
    ("task=glue/sst2", f"{_TRAIN}:1", "sst2_of_zeros"),
    ("task=glue/sst2", f"{_TRAIN}:1 | not UTF-8", "sst2_compressed"),
    ("task=glue/sst2", "SST-2/dev.tsv | empty", "sst2_dev_empty"),
    ("task=glue/sst2", "SST-2/dev.tsv:1 | 'label'", "sst2_dev_without_labels"),
    ("task=glue/stsb", "STS-B/train.tsv:2 | '5.5' | 0 to 5", "stsb_beyond_its_scale"),
    ("task=glue/stsb", "STS-B/train.tsv:2 | 'nan' | 0 to 5", "stsb_without_a_number"),
    ("task=glue/mnli", "MNLI/train.tsv:2 | '-'", "mnli_of_an_unknown_label"),
    ("task=glue/cola", "CoLA/train.tsv:1 | 3 fields", "cola_of_three_columns"),
    ("task=glue/sst2 task.source=tvs", "task.source | did you mean 'tsv'"),
    ("task=glue/sst2 task.max_tokens=0", "task.max_tokens"),
    ("task=glue/sst2 task.max_tokens=513", "task.max_tokens | 513", _with_bert("sst2_good")),
    ("task=glue/sst2 trainer.batch_size=17", "batch_size | 17 | 16", _with_bert("sst2_good")),
    ("task=glue/sst2 task.train_examples=0", "task.train_examples"),
    ("task=glue/sst2 task.train_examples=3", "batch_size", _with_bert("sst2_good")),
    ("task=glue/sst2 model.layers=7", "model.layers is 7 | 6", _with_bert("sst2_good")),
    ("task=glue/sst2 model.head=tail", "model.head", "sst2_good"),
    ("task=glue/sst2 trainer.group_by_length=-1", "trainer.group_by_length", "sst2_good"),
    before=f"data_root=. {_BERT}",
)

# ----------------------------------------------------------------------- GLUE as the hub has it


def _hub(rows: list[dict[str, Any]]) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        import pyarrow
        from pyarrow import parquet

        workshop.bert()
        folder = workshop.folder("hub/sst2")
        for split in ("train", "validation"):
            table = pyarrow.Table.from_pylist(rows)
            parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")

    return make


_HUB_ROWS = [{"sentence": f"a film {n}", "label": n % 2, "idx": n} for n in range(8)]


def _hub_bytes(content: bytes) -> Callable[[Workshop], None]:
    return lambda w: (w.bert(), w.write("hub/sst2/train-00000-of-00001.parquet", content))


setups(
    hub_empty=lambda w: w.folder("hub"),
    hub_without_files=lambda w: w.folder("hub/sst2"),
    hub_of_text=_hub_bytes(b"sentence,label\n"),
    hub_of_nothing=_hub_bytes(b""),
    hub_torn=_hub_bytes(b"PAR1" + bytes(20) + b"PAR1"),
    hub_without_rows=_hub([]),
    hub_without_sentence=_hub([{"text": "a", "label": 1}]),
    hub_without_label=_hub([{"sentence": "a"}]),
    hub_with_a_null_text=_hub([*_HUB_ROWS, {"sentence": None, "label": 1, "idx": 8}]),
    hub_with_a_null_label=_hub([*_HUB_ROWS, {"sentence": "a", "label": None, "idx": 8}]),
    hub_with_test_labels=_hub([{**row, "label": -1} for row in _HUB_ROWS]),
    hub_with_a_third_label=_hub([*_HUB_ROWS, {"sentence": "a", "label": 2, "idx": 8}]),
    hub_with_words_as_labels=_hub([{**row, "label": "good"} for row in _HUB_ROWS]),
    hub_with_numbers_as_texts=_hub([{**row, "sentence": 1.5} for row in _HUB_ROWS]),
    hub_with_lists_as_texts=_hub([{**row, "sentence": ["a"]} for row in _HUB_ROWS]),
)

HUB = refused(
    "main.py",
    ("", "task.hub_name | hub/sst2", "hub_empty"),
    ("", "task.hub_name | hub/sst2", "hub_without_files"),
    ("", "task.hub_name | hub/sst2", "hub_of_text"),
    ("", "task.hub_name | hub/sst2", "hub_of_nothing"),
    ("", "task.hub_name | hub/sst2", "hub_torn"),
    ("", "hub | sst2/train", "hub_without_rows"),
    ("", "hub | sst2/train | sentence", "hub_without_sentence"),
    ("", "hub | sst2/train | label", "hub_without_label"),
    ("", "hub | sst2/train | 8", "hub_with_a_null_text"),
    ("", "hub | sst2/train | 8", "hub_with_a_null_label"),
    ("", "hub | sst2/train | -1", "hub_with_test_labels"),
    ("", "hub | sst2/train | 2", "hub_with_a_third_label"),
    ("", "hub | sst2/train | good", "hub_with_words_as_labels"),
    ("", "hub | sst2/train | row 0", "hub_with_numbers_as_texts"),
    ("", "hub | sst2/train | row 0", "hub_with_lists_as_texts"),
    before=f"task=glue/sst2 task.source=hub task.hub_name=hub {_BERT} {_SMALL}",
) + refused(
    "main.py",
    ("task.hub_name=", "task.hub_name"),
    ("task.hub_name=3", "task.hub_name | '3'"),
    before="task=glue/sst2 task.source=hub",
)

# --------------------------------------------------------------------------------------- texts


def _lines(*lines: str) -> Callable[[Workshop], None]:
    return lambda w: w.write("d/train.jsonl", "".join(f"{line}\n" for line in lines))


_TEXT = json.dumps({"text": "some words to be read, again and again"})

setups(
    text_a_folder=lambda w: w.folder("text.txt"),
    text_empty=lambda w: w.write("text.txt", ""),
    text_short=lambda w: w.write("text.txt", "ab"),
    text_good=lambda w: w.write("text.txt", "words and words\n" * 100),
    text_in_latin_1=lambda w: (
        w.bert(),
        w.write("text.txt", ("gr\xfcn und " * 500).encode("latin-1")),
    ),
    text_not_ours_to_read=lambda w: (
        w.write("text.txt", "words " * 500),
        w.without_rights("text.txt", 0o000),
    ),
    text_leads_nowhere=lambda w: (w.place / "text.txt").symlink_to("gone"),
    rows_none=lambda w: w.folder("d"),
    rows_empty=_lines(),
    rows_broken=_lines(_TEXT, '{"text": "torn'),
    rows_null=_lines(_TEXT, '{"text": null}', _TEXT),
    rows_all_null=_lines('{"text": null}', '{"text": null}'),
    rows_of_another_column=_lines('{"sentence": "a"}'),
    rows_of_numbers=_lines('{"text": 1}', '{"text": 2}'),
    rows_of_lists=_lines('{"text": ["a"]}'),
    rows_that_are_lists=_lines("[1, 2]"),
    rows_without_text_later=_lines(_TEXT, '{"other": 1}'),
    rows_short=_lines('{"text": "ab"}'),
    rows_of_zeros=lambda w: w.write("d/train.jsonl", bytes(300)),
    rows_of_parquet_text=lambda w: w.write("d/train.parquet", "not parquet"),
    rows_of_broken_csv=lambda w: w.write("d/train.csv", 'text\n"unfinished\n'),
)

_FILE = (
    "task=lm/shakespeare task.tokenizer=bytes task.block=8 model=gpt2_small model.width=16 "
    "model.heads=2 model.layers=1 trainer.batch_size=2 trainer.max_steps=2 data_root=."
)
TEXTS = refused(
    "main.py",
    ("task.file=text.txt", "task.file | text.txt"),
    ("task.file=text.txt", "task.file | text.txt", "text_a_folder"),
    ("task.file=text.txt", "text.txt", "text_empty"),
    ("task.file=text.txt", "task.block", "text_short"),
    ("task.file=text.txt", "text.txt", "text_not_ours_to_read"),
    ("task.file=text.txt", "text.txt", "text_leads_nowhere"),
    ("task.file=text.txt task.hub_name=d", "task.file | task.hub_name", "text_good"),
    ("task.file=null", "task.file | task.hub_name"),
    ("task.file=text.txt task.validation_share=null", "task.validation_share", "text_good"),
    ("task.file=text.txt task.validation_share=0", "task.validation_share", "text_good"),
    ("task.file=text.txt task.validation_share=0.0001", "task.block", "text_good"),
    ("task.file=text.txt task.block=2000", "task.block", "text_good"),
    ("task.file=text.txt task.block=1", "task.block", "text_good"),
    ("task.file=text.txt trainer.batch_size=100000", "batch_size", "text_good"),
    ("task.file=text.txt model.heads=3", "model.heads", "text_good"),
    before=_FILE,
) + refused(
    "main.py",
    ("", "d", "rows_none"),
    ("", "d", "rows_empty"),
    ("", "d", "rows_broken"),
    ("", "train | row 1", "rows_null"),
    ("", "train | row 0", "rows_all_null"),
    ("", "task.column | 'text' | sentence", "rows_of_another_column"),
    ("", "train | row 0", "rows_of_numbers"),
    ("", "train | row 0", "rows_of_lists"),
    ("", "d", "rows_that_are_lists"),
    ("", "train | row 1", "rows_without_text_later"),
    ("", "task.block", "rows_short"),
    ("", "d", "rows_of_zeros"),
    ("", "d", "rows_of_parquet_text"),
    ("", "d", "rows_of_broken_csv"),
    ("task.hub_config=part", "task.hub_config | part", "rows_null"),
    ("task.column=words", "task.column | 'words' | text", "rows_null"),
    ("task.max_rows=0", "task.max_rows", "rows_null"),
    ("cache_dir=null", "cache_dir", "rows_null"),
    ("task.validation_share=null", "validation", "rows_short"),
    before=f"{_FILE} task.file=null task.hub_name=d task.validation_share=0.3",
)

# -------------------------------------------------------------------------------------- models


def _bert(change: Callable[[Path], Any]) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        _sst2(_SST2)(workshop)
        change(workshop.bert())

    return make


def _replaced(name: str, content: str | bytes) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return _bert(change)


def _bert_config(**changes: Any) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return _bert(change)


def _only(*names: str) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        for file in folder.iterdir():
            if file.name not in names:
                file.unlink()

    return _bert(change)


class _Harmless:
    """A pickle that is not a plain one."""


def _bin(content: bytes) -> Callable[[Workshop], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)

    return _bert(change)


@setup
def model_folder_is_a_file(workshop: Workshop) -> None:
    _sst2(_SST2)(workshop)
    workshop.write("bert", "")


setups(
    model_missing=_sst2(_SST2),
    model_empty=_only(),
    model_without_config=_bert(lambda f: (f / "config.json").unlink()),
    model_config_empty=_replaced("config.json", ""),
    model_config_torn=_replaced("config.json", '{"model_type": "be'),
    model_config_an_object_of_nothing=_replaced("config.json", "{}"),
    model_config_a_list=_replaced("config.json", "[1, 2]"),
    model_config_null=_replaced("config.json", "null"),
    model_config_in_utf_16=_replaced("config.json", '{"model_type": "bert"}'.encode("utf-16")),
    model_config_of_another_model=_bert_config(model_type="gpt2"),
    model_config_of_an_unknown_model=_bert_config(model_type="my_own"),
    model_config_with_text_for_a_width=_bert_config(hidden_size="wide"),
    model_config_with_null_layers=_bert_config(num_hidden_layers=None),
    model_config_with_no_heads=_bert_config(num_attention_heads=0),
    model_config_with_odd_heads=_bert_config(num_attention_heads=7),
    model_config_with_another_width=_bert_config(hidden_size=96, num_attention_heads=4),
    model_config_with_an_unknown_activation=_bert_config(hidden_act="magic"),
    model_config_with_a_small_vocabulary=_bert_config(vocab_size=10),
    model_config_with_negative_layers=_bert_config(num_hidden_layers=-1),
    model_without_weights=_bert(lambda f: (f / "model.safetensors").unlink()),
    model_weights_empty=_replaced("model.safetensors", b""),
    model_weights_text=_replaced("model.safetensors", b"not weights"),
    model_weights_torn=_replaced(
        "model.safetensors", (64).to_bytes(8, "little") + b"{" + bytes(63)
    ),
    model_weights_of_a_huge_header=_replaced("model.safetensors", b"\xff" * 64),
    model_weights_a_pointer=_replaced(
        "model.safetensors",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n",
    ),
    model_weights_lead_nowhere=_bert(
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").symlink_to("x"))
    ),
    model_bin_of_text=_bin(b"not a pickle"),
    model_bin_empty=_bin(b""),
    model_bin_of_a_number=_bin(pickle.dumps(3)),
    model_bin_of_an_object=_bin(pickle.dumps(_Harmless())),
    tokenizer_missing=_only("config.json", "model.safetensors"),
    tokenizer_torn=_replaced("tokenizer.json", '{"version"'),
    tokenizer_of_nothing=_replaced("tokenizer.json", "{}"),
    tokenizer_a_list=_replaced("tokenizer.json", "[]"),
    tokenizer_config_torn=_replaced("tokenizer_config.json", "{"),
    tokenizer_config_a_list=_replaced("tokenizer_config.json", "[]"),
)

_NAMED = "model.name"
MODELS = refused(
    "main.py",
    ("", _NAMED, "model_folder_is_a_file"),
    ("", "bert", "model_empty"),
    ("", _NAMED, "model_without_config"),
    ("", _NAMED, "model_config_empty"),
    ("", _NAMED, "model_config_torn"),
    ("", _NAMED, "model_config_an_object_of_nothing"),
    ("", _NAMED, "model_config_a_list"),
    ("", _NAMED, "model_config_null"),
    ("", _NAMED, "model_config_in_utf_16"),
    ("", f"{_NAMED} | gpt2 | bert", "model_config_of_another_model"),
    ("", f"{_NAMED} | my_own", "model_config_of_an_unknown_model"),
    ("", _NAMED, "model_config_with_text_for_a_width"),
    ("", _NAMED, "model_config_with_null_layers"),
    ("", _NAMED, "model_config_with_no_heads"),
    ("", _NAMED, "model_config_with_odd_heads"),
    ("", _NAMED, "model_config_with_another_width"),
    ("", _NAMED, "model_config_with_an_unknown_activation"),
    ("", "vocabulary | 10", "model_config_with_a_small_vocabulary"),
    ("", "layers", "model_config_with_negative_layers"),
    ("", _NAMED, "model_without_weights"),
    ("", _NAMED, "model_weights_empty"),
    ("", _NAMED, "model_weights_text"),
    ("", _NAMED, "model_weights_torn"),
    ("", _NAMED, "model_weights_of_a_huge_header"),
    ("", _NAMED, "model_weights_a_pointer"),
    ("", _NAMED, "model_weights_lead_nowhere"),
    ("", _NAMED, "model_bin_of_text"),
    ("", _NAMED, "model_bin_empty"),
    ("", _NAMED, "model_bin_of_a_number"),
    ("", _NAMED, "model_bin_of_an_object"),
    ("", "bert", "tokenizer_missing"),
    ("", "bert", "tokenizer_torn"),
    ("", "bert", "tokenizer_of_nothing"),
    ("", "bert", "tokenizer_a_list"),
    ("", "bert", "tokenizer_config_torn"),
    ("", "bert", "tokenizer_config_a_list"),
    ("model.tokenizer=nowhere/at/all", "model.tokenizer | nowhere/at/all", "model_missing"),
    before=f"task=glue/sst2 data_root=. {_BERT} {_SMALL}",
) + refused(
    "main.py",
    ("model.name=package:no_such_package/model", "model.name | no_such_package", "sst2_good"),
    ("model.name=package:json/../..", "model.name", "sst2_good"),
    ("model.name=package:", "model.name", "sst2_good"),
    ("model.name=nowhere/at/all", "model.name | nowhere/at/all", "sst2_good"),
    ("model.name=null", "model.tokenizer", "sst2_good"),
    ("model.name=", "model.name", "sst2_good"),
    before="task=glue/sst2 model=bert data_root=.",
)

CHECKED = told(
    "experiments",
    ("", "checked | 8 training", "good_pictures"),
    before="prefetch task=image_folder task.folder=d task.size=8 model.width=4 data_root=.",
)

ROWS = [*PICTURES, *SETS, *GLUE, *HUB, *TEXTS, *MODELS, *CHECKED]
