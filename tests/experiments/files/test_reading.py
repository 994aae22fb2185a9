"""Files of a folder of results are read through one door, which gives a value or one error."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from experiments.errors import UserError
from experiments.files.atomic import DiskError
from experiments.files.plan_file import SweepPlan
from experiments.files.reading import BrokenFileError, read_bytes, read_json, read_yaml
from experiments.files.shapes import (
    Anything,
    Environment,
    Failure,
    ReportedConfig,
    ReportedSummary,
    RunPlan,
    Summary,
)

DEEP = 100_000


def json_of(tmp_path: Path, text: str, shape: type[BaseModel] = Anything) -> Any:
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    return read_json(path, shape)


def yaml_of(tmp_path: Path, text: str, shape: type[BaseModel] = Anything) -> Any:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path, shape)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("[" * DEEP, "is nested too deeply"),
        ('{"a":' * DEEP, "is nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "is nested too deeply"),
        ('{"a": 1' + "0" * 400 + "}", "has an integer that is too large"),
        ('{"a": 1' + "0" * 5000 + "}", "is not valid JSON"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BrokenFileError, match=rf"file\.json {reason}"):
        json_of(tmp_path, text)


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new}\n  <<: [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a mapping"),
        ("a: [", "is not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("a: !!timestamp never", "is not valid YAML"),
        ("a: !!bool never", "is not valid YAML"),
        ("a: 2020-13-45", "is not valid YAML"),
        ("? [a]\n: b", "is not valid YAML"),
        (LAUGHS, "has aliases"),
        (MERGES, "has aliases"),
        ("a: &a [*a]", "has aliases"),
        ("a: " + "[" * DEEP, "is (nested too deeply|not valid YAML)"),
        ("- " * DEEP, "is (nested too deeply|not valid YAML)"),
        ("a: " + "[" * 50 + "]" * 50, "is nested too deeply"),
        ("a: 1" + "0" * 400, "has an integer that is too large"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BrokenFileError, match=rf"file\.yaml {reason}"):
        yaml_of(tmp_path, text)


def test_values_become_what_tables_and_pictures_can_hold(tmp_path: Path) -> None:
    text = (
        '{"a": [NaN, Infinity, 1e999, 1e300, -1e-300, 0.5], "b": "\\ud800 \\u0000 \\u001b[31m é"}'
    )
    assert json_of(tmp_path, text) == {
        "a": [None, None, None, None, 0.0, 0.5],
        "b": "\ufffd \ufffd \ufffd[31m é",
    }
    yaml = "1: .nan\n~: 2020-01-02\nb: !!binary aGk=\ns: !!set {x}\n"
    assert yaml_of(tmp_path, yaml) == {"1": None, "None": "2020-01-02", "b": "b'hi'", "s": "{'x'}"}


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"a": "\xff"}')
    for read in (read_json, read_yaml):
        with pytest.raises(BrokenFileError, match="is not valid"):
            read(path, Anything)


# --------------------------------------------------------------------------------- no files at all


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("nothing", "no/thing", "file/thing", "link"):
        assert read_json(tmp_path / name, Anything) is None


def test_what_is_no_regular_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, kind in (("fifo", "FIFO"), ("folder", "a folder"), ("device", "a device")):
        with pytest.raises(BrokenFileError, match=f"{name} is not a file but .*{kind}"):
            read_json(tmp_path / name, Anything)


def test_a_socket_and_a_loop_of_links_are_told(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        Path("loop").symlink_to("loop")
        for name in ("socket", "loop"):
            with pytest.raises(DiskError, match=f"^{name}: "):
                read_json(Path(name), Anything)


def test_a_file_without_end_is_told(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BrokenFileError, match="huge has more than 32 MB"):
        read_bytes(tmp_path / "huge")


# --------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("shape", "value", "key"),
    [
        (Summary, {"steps": "many"}, "steps"),
        (Summary, {"steps": -1}, "steps"),
        (Summary, {"steps": True}, "steps"),
        (Summary, {"final": {"val_loss": "0.5"}}, "final.val_loss"),
        (ReportedSummary, {"score": "accuracy", "final": {}}, "best"),
        (RunPlan, {"total_steps": 1.5}, "total_steps"),
        (Failure, {"output": "lines"}, "output"),
        (Environment, {"torch": ["2"]}, "torch"),
        (ReportedConfig, {"choices": {}}, "choices.experiment"),
        (SweepPlan, {"sweep": "a", "cells": [{"row": 1}]}, "cells.0.row"),
    ],
)
def test_a_value_of_another_type_is_told_with_its_key(
    tmp_path: Path, shape: type[BaseModel], value: dict[str, Any], key: str
) -> None:
    with pytest.raises(BrokenFileError, match=rf"has a wrong value, {key}: "):
        json_of(tmp_path, json.dumps(value), shape)


@pytest.mark.parametrize("folder", ["/etc", "../elsewhere", "a/../../b"])
def test_folders_of_a_plan_lie_below_the_results(tmp_path: Path, folder: str) -> None:
    cell = {"row": "a", "label": "b", "seeds": [0], "folders": [folder]}
    with pytest.raises(BrokenFileError, match="must be a path below the folder of the results"):
        json_of(tmp_path, json.dumps({"sweep": "a", "cells": [cell]}), SweepPlan)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "final", "a", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [Summary, ReportedSummary, RunPlan, Failure, ReportedConfig, SweepPlan, Anything]
    ),
    st.sampled_from([read_json, read_yaml]),
)
def test_the_door_gives_a_value_or_one_error(
    tmp_path: Path, data: bytes, shape: type[BaseModel], read: Any
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    value, error = None, ""
    try:
        value = read(path, shape)
    except UserError as raised:
        error = str(raised)
    if error:
        assert error.startswith(f"{path} ")
    else:
        shape.model_validate(value)
        json.dumps(value, allow_nan=False).encode()
