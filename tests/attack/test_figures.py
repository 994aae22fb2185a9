"""The table of docs/reliability.md is made of what ran."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.attack.figures import BEGIN, DOCUMENT, END, ROWS, Counts, into_document, table


def report(name: str, outcome: str, **properties: int) -> Any:
    return SimpleNamespace(
        nodeid=f"tests/attack/test_x.py::{name}[a]",
        when="call",
        skipped=outcome == "skipped",
        passed=outcome == "passed",
        failed=outcome == "failed",
        user_properties=list(properties.items()),
    )


def test_tests_and_kills_are_counted_and_skipped_tests_are_not() -> None:
    counts = Counts()
    name = "test_a_killed_run_ends_like_an_undisturbed_one"
    for outcome, kills in (("passed", 3), ("failed", 2), ("skipped", 0)):
        counts.pytest_runtest_logreport(report(name, outcome, kills=kills))
    lines = table(counts).splitlines()
    assert "| runs killed, equal to the undisturbed one | 1 | 2 |" in lines
    assert "| – SIGKILLs survived | 3 | 5 |" in lines
    assert "| reruns equal | – | – |" in lines


def test_every_counted_test_exists() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for _, names in ROWS:
        assert [name for name in names if f"def {name}(" not in text] == []


def test_the_table_goes_between_the_marks(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(DOCUMENT.read_text())
    into_document("| new |\n", document)
    text = document.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert f"{BEGIN}| new |\n{END}" in text
    assert text.partition(BEGIN)[0] == DOCUMENT.read_text().partition(BEGIN)[0]
