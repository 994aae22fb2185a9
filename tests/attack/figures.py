"""Runs the attack and prints the table of docs/reliability.md: `python -m tests.attack.figures`.

Arguments are pytest's, as `-k kills`; the exit code is pytest's too. `--write` first: the table
goes into the document, which the environment's variables of the attack are part of.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.attack import killing
from tests.attack.test_random_problems import EXAMPLES

ATTACK = Path(__file__).resolve().parent
DOCUMENT = ATTACK.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


class Counts:
    """A plugin of pytest that counts what passed and failed, by the name of the test."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.properties: Counter[str] = Counter()
        self.in_failures: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: its call, or a set-up that failed; skipped ones are not counted."""
        if report.skipped or (report.when != "call" and report.passed):
            return
        name = report.nodeid.partition("::")[2].partition("[")[0]
        (self.passed if report.passed else self.failed)[name] += 1
        for key, value in report.user_properties:
            self.properties[key] += int(str(value))
            if report.failed:
                self.in_failures[key] += int(str(value))


ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "runs killed, equal to the undisturbed one",
        (
            "test_a_killed_run_ends_like_an_undisturbed_one",
            "test_a_killed_run_on_real_data_ends_like_an_undisturbed_one",
        ),
    ),
    ("sweeps killed, equal", ("test_a_killed_sweep_ends_like_an_undisturbed_one",)),
    ("reruns equal", ("test_a_rerun_is_equal", "test_a_rerun_in_another_process_is_equal")),
    ("bad inputs told in one line", ("test_a_bad_input_is_told_in_one_line",)),
    ("bad inputs told in one line, as processes", ("test_a_process_tells_it_in_one_line",)),
    ("wrong uses of an optimizer named", ("test_a_wrong_use_of_an_optimizer_is_named",)),
    (
        "payloads that did not run",
        ("test_no_payload_runs", "test_names_in_a_report_are_text"),
    ),
    (
        "properties of an optimizer over random problems",
        (
            "test_parameters_stay_finite_and_records_consistent",
            "test_the_loss_of_the_own_mini_batch_is_not_raised_step_after_step",
            "test_a_saved_state_goes_on_bit_for_bit",
            "test_idle_for_long_and_then_useful",
        ),
    ),
)
_KILLS = {0: "kills", 1: "kills_of_sweeps"}


def table(counts: Counts) -> str:
    """The figures as a Markdown table; what did not run has a dash."""
    lines = ["| | held | tried |", "| --- | ---: | ---: |"]
    for number, (title, names) in enumerate(ROWS):
        held = sum(counts.passed[name] for name in names)
        tried = held + sum(counts.failed[name] for name in names)
        lines.append(f"| {title} | {held if tried else '–'} | {tried or '–'} |")
        if number in _KILLS:
            kills = counts.properties[_KILLS[number]]
            survived = kills - counts.in_failures[_KILLS[number]]
            lines.append(f"| – SIGKILLs survived | {survived if tried else '–'} | {kills or '–'} |")
    lines.append("")
    lines.append(
        f"Seed {killing.SEED}, {killing.KILLS} kills a case, {EXAMPLES} problems a property."
    )
    return "\n".join(lines) + "\n"


def into_document(text: str, document: Path = DOCUMENT) -> None:
    """Put the table between the marks of the document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(before + BEGIN + text + END + after, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run what pytest's arguments choose of the attack, and print or write the table."""
    counts = Counts()
    write, chosen = arguments[:1] == ["--write"], [a for a in arguments if a != "--write"]
    # Importing the tests for their constants imports hypothesis before pytest could rewrite it.
    imported = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    options = [str(ATTACK), "--tb=line", "-rf", "-W", imported]
    code = pytest.main([*options, *chosen], plugins=[counts])
    text = table(counts)
    sys.stdout.write(f"\n{text}")
    if write:
        into_document(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
