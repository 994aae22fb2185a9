"""Every row of the table of bad inputs gets one line that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.inputs.row import Row, complaint
from tests.attack.inputs.table import ROWS

QUICK_EVERY = 25
"""Every so manieth row is tried by `make test` too."""


def _params() -> list[object]:
    return [
        pytest.param(row, id=str(row), marks=[] if number % QUICK_EVERY == 0 else pytest.mark.slow)
        for number, row in enumerate(ROWS)
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without the environment's data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLS_DATA_ROOT", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    return tmp_path


@pytest.mark.attack
@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", _params())
def test_a_bad_input_is_told_in_one_line(
    row: Row, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = complaint(row, place, capfd)
    assert not wrong, f"{row}: {wrong}"


def test_no_row_is_written_twice() -> None:
    assert len(set(ROWS)) == len(ROWS)
