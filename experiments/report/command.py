"""`python -m experiments report <folder>`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.errors import UserError
from experiments.home import with_home

SUMMARY = "tables, statistics and pictures of a folder of runs"
HELP = """\
usage: python -m experiments report FOLDER [--help]

Writes FOLDER/report/ from the files of the runs in FOLDER, as results/cpu: report.html (one file,
pictures inside), report.md, tables.tex and runs.csv. Works while runs are unfinished; what cannot
be read is told in the report.

exit codes: 0 the report is written, 2 wrong arguments or no runs, 130 interrupted,
            143 terminated

example:
  python -m experiments report results/cpu
"""


def report_command(words: Sequence[str]) -> int:
    """Write the report of the one folder in `words`; returns the exit code 0.

    Raises:
        UserError: if that is not what `words` are, or there is nothing to report on.
    """
    if len(words) != 1:
        found = "none was given" if not words else f"{len(words)} were given"
        raise UserError(f"report (command line): takes one folder, as results/cpu; {found}")

    from experiments.report.build import write_report

    folder = Path(with_home(words[0], "report (command line)"))
    sys.stdout.write(f"report: {write_report(folder) / 'report.html'}\n")
    return 0
