"""GLUE as TSV files and as on the hub: damaged files, rows and labels."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import SETUPS, Workshop, setup, setups

SST2_HEADER = "sentence\tlabel\n"
SST2 = SST2_HEADER + "".join(f"a film number {n}\t{n % 2}\n" for n in range(16))


def sst2(train: str | bytes, dev: str | bytes = SST2) -> Callable[[Workshop], None]:
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
    sst2(SST2)(workshop)
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
    sst2_without_dev=lambda w: w.write("glue/SST-2/train.tsv", SST2),
    sst2_empty=sst2(""),
    sst2_blank=sst2("\n\n"),
    sst2_header_only=sst2(SST2_HEADER),
    sst2_without_header=sst2("a film\t1\nanother\t0\n"),
    sst2_header_misspelt=sst2(SST2.replace("sentence", "sentense", 1)),
    sst2_with_commas=sst2(SST2.replace("\t", ",")),
    sst2_with_too_many_fields=sst2(SST2 + "a\tb\t1\n"),
    sst2_with_too_few_fields=sst2(SST2 + "a film without label\n"),
    sst2_with_a_blank_line=sst2(SST2_HEADER + "\na film\t1\n"),
    sst2_cut_off=sst2(SST2[:-2]),
    sst2_with_a_word_as_label=sst2(SST2 + "a film\tgood\n"),
    sst2_with_a_third_label=sst2(SST2 + "a film\t2\n"),
    sst2_with_a_label_and_a_space=sst2(SST2 + "a film\t1 \n"),
    sst2_without_a_label=sst2(SST2 + "a film\t\n"),
    sst2_with_a_fraction_as_label=sst2(SST2 + "a film\t0.5\n"),
    sst2_in_latin_1=sst2(SST2.encode() + "gr\xfcn\t1\n".encode("latin-1")),
    sst2_in_utf_16=sst2(SST2.encode("utf-16")),
    sst2_of_zeros=sst2(bytes(64)),
    sst2_compressed=sst2(gzip.compress(SST2.encode())),
    sst2_dev_empty=sst2(SST2, ""),
    sst2_dev_without_labels=sst2(SST2, "index\tsentence\n0\ta film\n"),
    sst2_good=sst2(SST2),
)

_TRAIN = "SST-2/train.tsv"
BERT = "model=bert model.name=bert"
SMALL = "model.layers=1 trainer.batch_size=4 task.max_tokens=8"


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
    before=f"data_root=. {BERT}",
)


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
    before=f"task=glue/sst2 task.source=hub task.hub_name=hub {BERT} {SMALL}",
) + refused(
    "main.py",
    ("task.hub_name=", "task.hub_name"),
    ("task.hub_name=3", "task.hub_name | '3'"),
    before="task=glue/sst2 task.source=hub",
)

ROWS = [*GLUE, *HUB]
