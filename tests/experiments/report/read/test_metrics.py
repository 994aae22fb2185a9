"""`metrics.jsonl` is read whole, fast or line by line, and what is broken is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.report.read.metrics import Metrics, read_metrics
from experiments.report.read.records import STEP_COLUMNS

STEP = {
    "event": "step",
    "step": 1,
    "epoch": 0.5,
    "seconds": 0.25,
    "forward_passes": 2,
    "backward_passes": 1,
    "loss": 0.75,
    "step_size": 0.125,
    "slope": 3.0,
    "trials": 1,
    "status": "accepted",
    "factor": 0.5,
}
EVALUATION = {
    "event": "evaluation",
    "step": 1,
    "epoch": 0.5,
    "seconds": 0.25,
    "forward_passes": 2,
    "backward_passes": 1,
    "train_loss": 0.5,
    "val_loss": 0.625,
    "accuracy": 0.875,
}


def read(tmp_path: Path, *lines: object, end: str = "\n") -> Metrics:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text + end)
    return read_metrics(tmp_path / "metrics.jsonl")


def test_rows_become_steps_and_evaluations(tmp_path: Path) -> None:
    found = read(tmp_path, STEP, EVALUATION)
    assert found.steps.to_dict("list") == {
        "step": [1],
        "epoch": [0.5],
        "seconds": [0.25],
        "forward_passes": [2],
        "backward_passes": [1],
        "loss": [0.75],
        "step_size": [0.125],
        "factor": [0.5],
        "trials": [1.0],
    }
    assert found.evaluations.to_dict("list") == {
        "step": [1],
        "epoch": [0.5],
        "seconds": [0.25],
        "forward_passes": [2],
        "train_loss": [0.5],
        "val_loss": [0.625],
        "accuracy": [0.875],
    }
    assert found.faults == ()


def test_a_step_takes_36_bytes(tmp_path: Path) -> None:
    found = read(tmp_path, STEP)
    assert sum(dtype.itemsize for dtype in found.steps.dtypes) == 36


def test_null_and_missing_numbers_are_nan(tmp_path: Path) -> None:
    row = {key: value for key, value in STEP.items() if key not in ("trials", "factor")}
    found = read(tmp_path, {**row, "loss": None}, {**EVALUATION, "val_loss": None})
    assert math.isnan(found.steps["loss"][0])
    assert math.isnan(found.steps["trials"][0])
    assert math.isnan(found.evaluations["val_loss"][0])
    assert found.faults == ()


def test_a_half_written_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    found = read(tmp_path, STEP, EVALUATION, '{"event": "step", "st', end="")
    assert list(found.steps["step"]) == [1]
    assert found.faults == ("its last line is only half written and was left out",)


@pytest.mark.parametrize(
    "broken",
    [
        '{"event": "step", "step": 2, "lo',
        "[1, 2]",
        "null",
        "",
        '{"event": "step", "step": "two", "forward_passes": 2, "backward_passes": 1}',
        '{"event": "step", "loss": 1.0}',
        '{"event": "pause"}',
        "\x00\x00\x00",
    ],
)
def test_a_broken_line_in_the_middle_is_left_out_and_told(tmp_path: Path, broken: str) -> None:
    found = read(tmp_path, STEP, broken, {**STEP, "step": 3}, EVALUATION)
    assert list(found.steps["step"]) == [1, 3]
    assert list(found.evaluations["accuracy"]) == [0.875]
    assert found.faults == ("line 2 cannot be read and was left out",)


@pytest.mark.parametrize("broken", ["null", 'null{"event": "step"}', "null null"])
def test_a_null_in_the_first_line_does_not_end_the_process(tmp_path: Path, broken: str) -> None:
    found = read(tmp_path, broken, STEP)
    assert list(found.steps["step"]) == [1]
    assert found.faults == ("line 1 cannot be read and was left out",)


def test_bytes_that_are_no_text_are_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    evaluation = json.dumps({**EVALUATION, "note": "?"}).encode().replace(b"?", b"\xff")
    path.write_bytes(json.dumps(STEP).encode() + b"\n" + evaluation + b"\n")
    found = read_metrics(path)
    assert (len(found.steps), len(found.evaluations)) == (1, 0)
    assert found.faults == ("line 2 cannot be read and was left out",)


def test_both_ways_of_reading_give_the_same(tmp_path: Path) -> None:
    whole = read(tmp_path, STEP, {**STEP, "step": 2, "loss": None}, EVALUATION)
    singly = read(tmp_path, STEP, {**STEP, "step": 2, "loss": None}, EVALUATION, "broken")
    pd.testing.assert_frame_equal(whole.steps, singly.steps)
    pd.testing.assert_frame_equal(whole.evaluations, singly.evaluations)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_no_rows_make_empty_tables_with_all_columns(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_text(content)
    found = read_metrics(path)
    assert tuple(found.steps.columns) == STEP_COLUMNS
    assert found.steps["step"].dtype == np.int32
    assert {"step", "train_loss", "val_loss"} <= set(found.evaluations.columns)
    assert len(found.steps) == len(found.evaluations) == 0
