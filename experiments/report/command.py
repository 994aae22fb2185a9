"""`python -m experiments report <folder>`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.command_line import require_known, split
from experiments.config.home import with_home
from experiments.errors import UserError

SUMMARY = "tables, statistics and pictures of a folder of runs"
HELP = """\
usage: python -m experiments report FOLDER [--output PATH] [--help]

Writes FOLDER/report/ from the files of the runs in FOLDER, as results/cpu: report.html (one file,
pictures inside), report.md, tables.tex and runs.csv. Works while runs are unfinished; what cannot
be read is told in the report. --output PATH writes into another folder, as for results that may
only be read.

exit codes: 0 the report is written, 2 wrong arguments or no runs, 130 interrupted,
            143 terminated

example:
  python -m experiments report results/cpu
"""


def report_command(arguments: Sequence[str]) -> int:
    """Write the report that the arguments after the command's name ask for; returns the exit code.

    Raises:
        UserError: if they are not one folder, or there is nothing to report on.
    """
    words, output = _read(arguments)
    if len(words) != 1:
        found = "none was given" if not words else f"{len(words)} were given"
        raise UserError(f"report (command line): takes one folder, as results/cpu; {found}")

    from experiments.report.build import write_report

    folder = Path(with_home(words[0], "report (command line)"))
    report = write_report(folder, output)
    sys.stdout.write(f"report: {report / 'report.html'}\n")
    return 0


def _read(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The words, and the folder of `--output PATH` or `--output=PATH`."""
    outputs: list[str] = []
    others: list[str] = []
    following = iter(arguments)
    for argument in following:
        flag, equals, path = argument.partition("=")
        if flag == "--output":
            outputs.append(path if equals else next(following, ""))
        else:
            others.append(argument)
    flags, words = split(others)
    require_known(flags, ("--output", "--help"))
    if len(outputs) > 1:
        raise UserError("--output (command line): given twice")
    if outputs and (not outputs[0] or outputs[0].startswith("-")):
        raise UserError("--output (command line): needs a folder, as in --output my_report")
    return words, Path(with_home(outputs[0], "--output (command line)")) if outputs else None
