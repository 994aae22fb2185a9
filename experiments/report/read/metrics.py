"""Tables of the steps and evaluations in a `metrics.jsonl`, read fast and however broken it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    + [(name, pa.from_numpy_dtype(kind)) for name, kind in _STEP_TYPES.items()]
)
_PARSE = pyarrow.json.ParseOptions(
    explicit_schema=_SCHEMA, unexpected_field_behavior="ignore", newlines_in_values=False
)

_NO_METRICS = ("event", "backward_passes")
_EVALUATION_COLUMNS = ("step", "epoch", "seconds", "forward_passes", "train_loss", "val_loss")

Row = Mapping[str, Any]


class Metrics(NamedTuple):
    """The contents of one `metrics.jsonl`."""

    steps: pd.DataFrame
    """`STEP_COLUMNS`; int32 and float32, NaN for a number that is missing or was not finite."""
    evaluations: pd.DataFrame
    """step, epoch, seconds, forward_passes, train_loss, val_loss, then the task's metrics."""
    faults: tuple[str, ...]
    """The parts that were left out, without the file's name."""


def read_metrics(path: Path) -> Metrics:
    """Read `path`; a file that is not there has no rows.

    Lines that are not rows, and a last line without its end, are left out and are in `faults`.
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
    if table is not None:
        is_step = pa.compute.equal(table.column("event"), "step")
        others = np.flatnonzero(~is_step.to_numpy())
        # The metrics of evaluations are not in the schema.
        rows = [json_object(lines[i], CountedRow) for i in others]
        if None not in rows:
            of_steps = table.filter(is_step).select(STEP_COLUMNS).to_pandas()
            return Metrics(_steps(of_steps), _evaluations(rows), tuple(faults))
    rows = [json_object(line, CountedRow) for line in lines]
    broken = [number for number, row in enumerate(rows, start=1) if row is None]
    if len(broken) == 1:
        faults.append(f"line {broken[0]} cannot be read and was left out")
    elif broken:
        faults.append(
            f"{len(broken)} lines cannot be read and were left out, the first is line {broken[0]}"
        )
    steps = [row for row in rows if row is not None and row["event"] == "step"]
    columns = {name: [number(row.get(name)) for row in steps] for name in STEP_COLUMNS}
    with np.errstate(over="ignore"):  # what is too large for a column is infinite
        return Metrics(
            _steps(pd.DataFrame(columns, dtype=float)), _evaluations(rows), tuple(faults)
        )


def _parsed(data: bytes, lines: Sequence[bytes]) -> pa.Table | None:
    """All lines at once; None if one of them is not as it should be."""
    # pyarrow 26 does not refuse a first value that is null, nor values within values without end:
    # both end the process.
    is_flat = data.count(b"{") == len(lines) and b"[" not in data
    if not (lines and is_flat and all(line[:1] == b"{" and line[-1:] == b"}" for line in lines)):
        return None
    # In one block and one thread: the order of the rows is that of the lines.
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data), read_options=reading, parse_options=_PARSE
        )
    except pa.ArrowInvalid:
        return None
    is_whole = table.num_rows == len(lines) and all(
        table.column(name).null_count == 0 for name in ("event", *_INTEGERS)
    )
    return table if is_whole else None


def _steps(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype(_STEP_TYPES)


def _evaluations(rows: Sequence[Row | None]) -> pd.DataFrame:
    evaluations = [row for row in rows if row is not None and row["event"] == "evaluation"]
    seen = dict.fromkeys(name for row in evaluations for name in row if name not in _NO_METRICS)
    names = dict.fromkeys([*_EVALUATION_COLUMNS, *seen])
    frame = pd.DataFrame(
        {name: [number(row.get(name)) for row in evaluations] for name in names}, dtype=float
    )
    return frame.astype({"step": np.int64, "forward_passes": np.int64})


def number(value: Any) -> float:
    """A value that was read as a number; NaN for any other."""
    return float(value) if isinstance(value, int | float) else math.nan
