"""GLUE's TSV files: the real ones are read to the letter, malformed ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.data.glue.tasks import Split
from experiments.data.glue.tsv import read_tsv
from experiments.errors import UserError
from tests.experiments.data.locations import data_root

MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
RTE_HEADER = "index\tsentence1\tsentence2\tlabel"
STSB_HEADER = "index\tsentence1\tsentence2\tscore"
QQP_HEADER = "id\tquestion1\tquestion2\tis_duplicate"


def write(root: Path, folder: str, data: bytes | str) -> Path:
    path = root / folder / "train.tsv"
    path.parent.mkdir(parents=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("dataset", "split", "count"),
    [
        ("mrpc", "validation", 408),
        ("sst2", "train", 67349),
        ("sst2", "validation", 872),
        ("cola", "train", 8551),
        ("cola", "validation", 1043),
    ],
)
def test_counts_of_the_real_files(dataset: str, split: Split, count: int) -> None:
    examples = read_tsv(data_root() / "glue", dataset, split)
    assert len(examples.texts) == len(examples.labels) == count
    assert set(examples.labels) == {0, 1}


def test_no_line_of_the_real_mrpc_is_lost_or_split() -> None:
    """Counted in the file, since copies of the 3,668 examples that lack one are about."""
    root = data_root() / "glue"
    lines = (root / "MRPC" / "train.tsv").read_bytes().rstrip(b"\n").split(b"\n")
    examples = read_tsv(root, "mrpc", "train")
    assert len(examples.texts) == len(lines) - 1
    assert sum(examples.labels) == sum(line.startswith(b"1\t") for line in lines[1:])
    assert len(examples.texts) in (3667, 3668)


def test_first_examples_of_the_real_files() -> None:
    root = data_root() / "glue"
    cola = read_tsv(root, "cola", "train")
    sst2 = read_tsv(root, "sst2", "train")
    mrpc = read_tsv(root, "mrpc", "train")
    assert cola.labels[0] == 1
    assert cola.texts[0] == (
        "Our friends won't buy this analysis, let alone the next one we propose.",
    )
    assert (sst2.texts[0], sst2.labels[0]) == (
        ("hide new secretions from the parental units ",),
        0,
    )
    assert mrpc.labels[0] == 1
    assert mrpc.texts[0][0].startswith('Amrozi accused his brother , whom he called " the witness')
    assert mrpc.texts[0][1].startswith('Referring to him as only " the witness " , Amrozi')


def test_unbalanced_quotes_of_the_real_mrpc_are_text() -> None:
    texts = read_tsv(data_root() / "glue", "mrpc", "validation").texts
    assert texts[0][1] == (
        '" The foodservice pie business does not fit our long-term growth strategy .'
    )


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "unended"])
def test_byte_order_mark_and_line_ends_make_no_difference(
    tmp_path: Path, bom: bytes, end: str, last: bool
) -> None:
    text = end.join([MRPC_HEADER, "1\t7\t8\ta\tb", "0\t7\t8\tc\td"]) + end * last
    write(tmp_path, "MRPC", bom + text.encode())
    examples = read_tsv(tmp_path, "mrpc", "train")
    assert examples.texts == [("a", "b"), ("c", "d")]
    assert examples.labels == [1, 0]


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x1c", "\x0b", "\x0c", "\r"])
def test_only_line_feeds_end_a_line(tmp_path: Path, character: str) -> None:
    write(tmp_path, "CoLA", f"gj04\t1\t\tone{character}line\n")
    assert read_tsv(tmp_path, "cola", "train").texts == [(f"one{character}line",)]


@pytest.mark.parametrize(
    ("folder", "dataset", "text", "where"),
    [
        ("CoLA", "cola", "gj04\t1\t\tfine\ngj04\t0\tno star", ":2: 3 fields"),
        ("CoLA", "cola", "gj04\t2\t\tlabel", ":1: label is '2'"),
        ("CoLA", "cola", "gj04\t1\t\tfine\n\ngj04\t1\t\tfine", ":2: 1 fields"),
        ("SST-2", "sst2", "sentence\tlabel\nfine\t1\ntab\there\t1", ":3: 3 fields"),
        ("SST-2", "sst2", "sentence\tlabel\nfine\t-1\n", ":2: label is '-1'"),
        ("SST-2", "sst2", "sentence\tscore\nfine\t1\n", ":1: the header has no column 'label'"),
        ("MRPC", "mrpc", f"{MRPC_HEADER}\n1\t7\t8\ta\n", ":2: 4 fields"),
        ("MRPC", "mrpc", "1\t7\t8\ta\tb\n", ":1: the header has no column '#1 String'"),
        ("MRPC", "mrpc", "", ": the file holds no examples"),
        ("CoLA", "cola", "", ": the file holds no examples"),
        ("SST-2", "sst2", "sentence\tlabel\n", ": the file holds no examples"),
        (
            "RTE",
            "rte",
            f"{RTE_HEADER}\n0\ta\tb\t1\n",
            ":2: label is '1', not entailment or not_ent",
        ),
        ("RTE", "rte", f"{RTE_HEADER}\n0\ta\tb\tneutral\n", ":2: label is 'neutral'"),
        ("MNLI", "mnli", "sentence1\tsentence2\tgold_label\na\tb\t-\n", ":2: gold_label is '-'"),
        ("STS-B", "stsb", f"{STSB_HEADER}\n0\ta\tb\t5.1\n", ":2: score is '5.1', not a number"),
        ("STS-B", "stsb", f"{STSB_HEADER}\n0\ta\tb\tnan\n", ":2: score is 'nan', not a number"),
        (
            "WNLI",
            "wnli",
            f"{RTE_HEADER}\n0\ta\tb\tentailment\n",
            ":2: label is 'entailment', not 0",
        ),
        ("QQP", "qqp", f"{QQP_HEADER}\n1\ta\tb\t1\n2\ta\tb", ":3: 3 fields"),
        ("QQP", "qqp", f"{QQP_HEADER}\n1\ta\tb\t1\t0\n", ":2: 5 fields"),
    ],
)
def test_malformed_files_are_named_with_the_line(
    tmp_path: Path, folder: str, dataset: str, text: str, where: str
) -> None:
    path = write(tmp_path, folder, text)
    with pytest.raises(UserError) as raised:
        read_tsv(tmp_path, dataset, "train")
    assert str(raised.value).startswith(f"{path}{where}")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_other_encodings_are_named_with_the_line(tmp_path: Path, bom: bytes) -> None:
    path = write(tmp_path, "SST-2", bom + b"sentence\tlabel\nfine\t1\ncaf\xe9\t1\n")
    with pytest.raises(UserError) as raised:
        read_tsv(tmp_path, "sst2", "train")
    assert str(raised.value).startswith(f"{path}:3: not UTF-8")


def test_lines_that_glues_own_qqp_broke_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "QQP", f"{QQP_HEADER}\n1\ta\tb\t1\n2\tbro\nken\td\t0\n\n3\te\tf\t0\n")
    examples = read_tsv(tmp_path, "qqp", "train")
    assert examples.texts == [("a", "b"), ("e", "f")]
    assert examples.labels == [1, 0]


def test_a_missing_file_is_named_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read_tsv(tmp_path, "mrpc", "validation")
    assert str(tmp_path / "MRPC" / "dev.tsv") in str(raised.value)
    assert "data_root" in str(raised.value)
    assert "SLS_DATA_ROOT" in str(raised.value)
