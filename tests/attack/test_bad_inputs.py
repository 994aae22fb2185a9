"""Every row of the table of bad inputs gets one line that names what is wrong."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.attack.inputs import optimizers
from tests.attack.inputs.row import Row, complaint
from tests.attack.inputs.table import ROWS
from tests.attack.inputs.workshop import RUN
from tests.experiments.data.locations import REPOSITORY

QUICK_EVERY = 101
"""One row in so many is tried by `make test` too."""


def _params() -> list[object]:
    return [
        pytest.param(row, id=str(row), marks=[] if number % QUICK_EVERY == 0 else pytest.mark.slow)
        for number, row in enumerate(ROWS)
    ]


def _save_quickly(_figure: object, file: Any, **_how: object) -> None:
    """One pixel: the drawing itself would take most of the time of a thousand rows."""
    Image.new("L", (1, 1)).save(file, format="png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without the environment's data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLS_DATA_ROOT", raising=False)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", _save_quickly)
    return tmp_path


@pytest.mark.attack
@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", _params())
def test_a_bad_input_is_told_in_one_line(
    row: Row, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = complaint(row, place, capfd)
    assert not wrong, wrong


def test_no_row_is_written_twice() -> None:
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.attack
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("cls", "title", "call", "error", "named"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in optimizers.ROWS],
)
def test_a_wrong_use_of_an_optimizer_is_named(
    cls: str, title: str, call: Callable[[type[Any]], None], error: type[Exception], named: str
) -> None:
    with pytest.raises(error) as caught:
        call(optimizers.CLASSES[cls])
    text = str(caught.value)
    assert [name for name in named.split(" | ") if name not in text] == [], text


AS_PROCESSES = {
    "main.py": (("main.py", "seed=abc"), "seed"),
    "a file where results go": (("main.py", "results_dir=/dev/null/x"), "/dev/null/x"),
    "run_multiple.py": (("run_multiple.py", "--sweep", "nothing"), "'nothing'"),
    "run_multiple_img.py": (("run_multiple_img.py", "seeds=[]"), "seeds"),
    "python -m experiments": (("-m", "experiments", "report", "/nowhere"), "/nowhere"),
}


@pytest.mark.attack
@pytest.mark.slow
@pytest.mark.parametrize("title", AS_PROCESSES)
def test_a_process_tells_it_in_one_line(title: str) -> None:
    words, named = AS_PROCESSES[title]
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


FULL = (0, 100, 1000, 5000, 20_000, 60_000)


@pytest.mark.attack
@pytest.mark.slow
@pytest.mark.parametrize("free", FULL)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(
    free: int, tmp_path: Path
) -> None:
    """No file can grow beyond `free` bytes, so that writing fails as on a disk that is full."""
    command = [sys.executable, "main.py", *RUN.split(), f"results_dir={tmp_path / 'results'}"]
    done = subprocess.run(
        [*command, "logger.console=false"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (free, free)),
    )
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    # Where no byte can be written at all, Python itself finds no folder for temporary files.
    named = str(tmp_path / "results") if free else "temporary directory"
    assert named in done.stderr
    assert list(tmp_path.rglob(".*.tmp")) == []
