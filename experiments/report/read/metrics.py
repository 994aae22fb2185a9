"""`metrics.jsonl` → tables of steps and evaluations, fast, and however broken the file is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.json

from experiments.files.atomic import DiskError
from experiments.files.reading import BrokenFileError, json_object, read_bytes
from experiments.files.run_folder import METRICS_LIMIT
from experiments.files.shapes import CountedRow
from experiments.report.read.records import STEP_COLUMNS

# Half the memory of pandas' own types; a sweep has millions of steps.
_INTEGERS = ("step", "forward_passes", "backward_passes")
_STEP_TYPES = {name: np.int32 if name in _INTEGERS else np.float32 for name in STEP_COLUMNS}
_SCHEMA = pa.schema(
    [("event", pa.string())]
    + [(name, pa.int32() if name in _INTEGERS else pa.float32()) for name in STEP_COLUMNS]
)
_PARSE = pyarrow.json.ParseOptions(
    explicit_schema=_SCHEMA, unexpected_field_behavior="ignore", newlines_in_values=False
)

_NO_METRICS = ("event", "backward_passes")
_EVALUATION_COLUMNS = ("step", "epoch", "seconds", "forward_passes", "train_loss", "val_loss")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Metrics:
    """What one `metrics.jsonl` says; `faults` are sentences without the file's name."""

    steps: pd.DataFrame
    """`STEP_COLUMNS`; int32 and float32, NaN for what is missing or was not finite."""
    evaluations: pd.DataFrame
    """step, epoch, seconds, forward_passes, train_loss, val_loss, then the task's metrics."""
    faults: tuple[str, ...]


def read_metrics(path: Path) -> Metrics:
    """Read `path`; a file that is not there has no rows.

    A last line without its end is left out, as are lines that are no row; both are told in
    `faults`.
    """
    faults = []
    try:
        data = read_bytes(path, METRICS_LIMIT) or b""
    except (BrokenFileError, DiskError) as error:
        faults.append(f"it cannot be read ({error.reason})")
        data = b""
    end = data.rfind(b"\n") + 1
    if end < len(data):
        faults.append("its last line is only half written and was left out")
        data = data[:end]
    lines = data.split(b"\n")[:-1]
    table = _parsed(data, lines)
    evaluations = None if table is None else _evaluation_rows(table, lines)
    if table is None or evaluations is None:
        rows, broken = _parsed_singly(lines)
        if broken:
            faults.append(_told(broken))
        return Metrics(_steps_of(rows), _evaluations_of(rows), tuple(faults))
    is_step = pa.compute.equal(table.column("event"), "step")
    chosen = table.filter(is_step).drop_columns("event")
    return Metrics(_frame(chosen), _evaluations_of(evaluations), tuple(faults))


def _parsed(data: bytes, lines: Sequence[bytes]) -> pa.Table | None:
    """All lines at once, or None if one of them is not what it should be."""
    # pyarrow 26 does not refuse a first value that is null, nor values within values without end:
    # both end the process.
    flat = data.count(b"{") == len(lines) and b"[" not in data
    if not (lines and flat and all(line[:1] == b"{" and line[-1:] == b"}" for line in lines)):
        return None
    # In one block and one thread: the order of the rows is that of the lines.
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data), read_options=reading, parse_options=_PARSE
        )
    except pa.ArrowInvalid:
        return None
    whole = table.num_rows == len(lines) and all(
        table.column(name).null_count == 0 for name in ("event", *_INTEGERS)
    )
    return table if whole else None


def _evaluation_rows(table: pa.Table, lines: Sequence[bytes]) -> list[Row] | None:
    """The rows of evaluations, whose metrics the schema does not know; None if one is broken."""
    where = pa.compute.equal(table.column("event"), "evaluation").to_numpy()
    rows = [json_object(lines[i], CountedRow) for i in np.flatnonzero(where).tolist()]
    whole: list[Row] = [row for row in rows if row is not None]
    return whole if len(whole) == len(rows) else None


def _frame(table: pa.Table) -> pd.DataFrame:
    columns = {name: table.column(name).to_numpy() for name in STEP_COLUMNS}
    return pd.DataFrame({name: columns[name].astype(_STEP_TYPES[name]) for name in STEP_COLUMNS})


# ------------------------------------------------------------------------- a file with a fault


def _parsed_singly(lines: Sequence[bytes]) -> tuple[list[Row], list[int]]:
    """The rows, and the numbers of the lines that are none."""
    rows: list[Row] = []
    broken = []
    for number, line in enumerate(lines, start=1):
        row = json_object(line, CountedRow)
        if row is None:
            broken.append(number)
        else:
            rows.append(row)
    return rows, broken


def _told(broken: Sequence[int]) -> str:
    if len(broken) == 1:
        return f"line {broken[0]} cannot be read and was left out"
    return f"{len(broken)} lines cannot be read and were left out, the first is line {broken[0]}"


def _steps_of(rows: Sequence[Row]) -> pd.DataFrame:
    steps = [row for row in rows if row["event"] == "step"]
    columns = {name: np.array([_number(row.get(name)) for row in steps]) for name in STEP_COLUMNS}
    with np.errstate(over="ignore"):  # what is too large for a column is infinite
        return pd.DataFrame(
            {name: columns[name].astype(_STEP_TYPES[name]) for name in STEP_COLUMNS}
        )


def _evaluations_of(rows: Sequence[Row]) -> pd.DataFrame:
    evaluations = [row for row in rows if row["event"] == "evaluation"]
    seen = dict.fromkeys(name for row in evaluations for name in row if name not in _NO_METRICS)
    names = list(dict.fromkeys([*_EVALUATION_COLUMNS, *seen]))
    frame = pd.DataFrame(
        {name: [_number(row.get(name)) for row in evaluations] for name in names}, dtype=float
    )
    return frame.astype({"step": np.int64, "forward_passes": np.int64})


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
