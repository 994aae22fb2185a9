"""Tables of the steps and evaluations in a `metrics.jsonl`, read fast and however broken it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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


class Metrics(NamedTuple):
    """The contents of one `metrics.jsonl`: tables as those of `RunRecord`."""

    steps: pd.DataFrame
    """int32 and float32, NaN for a number that is missing or was not finite."""
    evaluations: pd.DataFrame
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
    rows: list[dict[str, Any] | None] = []
    if table is not None:
        is_step = pa.compute.equal(table.column("event"), "step")
        steps = table.filter(is_step).select(STEP_COLUMNS).to_pandas()
        # The metrics of evaluations are not in the schema.
        others = np.flatnonzero(~is_step.to_numpy())
        rows = [json_object(lines[i], CountedRow) for i in others]
    if table is None or None in rows:
        rows = [json_object(line, CountedRow) for line in lines]
        broken = [number for number, row in enumerate(rows, start=1) if row is None]
        if len(broken) == 1:
            faults.append(f"line {broken[0]} cannot be read and was left out")
        elif broken:
            first = f"the first is line {broken[0]}"
            faults.append(f"{len(broken)} lines cannot be read and were left out, {first}")
        steps = _columns(rows, "step", STEP_COLUMNS)
    seen = [name for row in rows if row and row["event"] == "evaluation" for name in row]
    names = dict.fromkeys([*_EVALUATION_COLUMNS, *(n for n in seen if n not in _NO_METRICS)])
    counts = {"step": np.int64, "forward_passes": np.int64}
    with np.errstate(over="ignore"):  # what is too large for a column is infinite
        return Metrics(
            steps.astype(_STEP_TYPES),
            _columns(rows, "evaluation", names).astype(counts),
            tuple(faults),
        )


def _columns(
    rows: Iterable[Mapping[str, Any] | None], event: str, names: Iterable[str]
) -> pd.DataFrame:
    """The numbers of the rows of one event."""
    wanted = [row for row in rows if row is not None and row["event"] == event]
    columns = {name: [number(row.get(name)) for row in wanted] for name in names}
    return pd.DataFrame(columns, dtype=float)


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


def number(value: Any) -> float:
    """A value that was read as a number; NaN for any other."""
    return float(value) if isinstance(value, int | float) else math.nan
