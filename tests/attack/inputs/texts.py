"""Long texts: damaged files, rows without text, sizes that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import Workshop, setups


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

ROWS = TEXTS
