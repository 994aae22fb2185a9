"""`python -m experiments status <folder>`: the table of a sweep, whoever runs it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from experiments.command_line import OK, require_known
from experiments.config.home import with_home
from experiments.errors import UserError

HELP = """\
usage: python -m experiments status FOLDER [--watch] [--help]

Shows how far the runs below FOLDER are: how many have finished, are running, wait, were stopped,
failed, diverged or were stuck; of each running one its step, loss and time left; of each failed
one why.
FOLDER is a sweep's results_dir, or any folder of runs. Only files are read, so that it works
beside a sweep and on the folder of another machine; locks of another machine are seen only where
the file system shares them.

  --watch   goes on until Ctrl-C

example:
  python -m experiments status results/cpu --watch
"""
_FLAGS = ("--watch",)
_SECONDS = 2.0


def status(words: Sequence[str], flags: Sequence[str]) -> int:
    """Print the table of the one folder in `words`; with `--watch`, again and again.

    Raises:
        UserError: for other arguments, or a folder that is not there.
    """
    require_known(flags, _FLAGS)
    if len(words) != 1:
        raise UserError(
            f"status (command line): takes one folder, as in results/cpu, not {len(words)}"
        )
    folder = Path(with_home(words[0], "status (command line)"))

    from experiments.sweep.status import known_runs

    runs = known_runs(folder)
    if not runs:
        raise UserError(f"{folder} (command line): no runs and no plan of a sweep in there")
    if flags:
        _watch(folder)
    else:
        _print(folder)
    return OK


def _print(folder: Path) -> None:
    from rich.console import Console

    from experiments.sweep.status import known_runs
    from experiments.sweep.table import table

    entries = [run.entry() for run in known_runs(folder)]
    Console(highlight=False).print(table(entries, workers=None))


def _watch(folder: Path) -> None:
    """Until Ctrl-C. Plans are read anew: runs are added to them once they are tuned."""
    from rich.console import Console
    from rich.live import Live

    from experiments.sweep.status import known_runs
    from experiments.sweep.table import table

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            entries = [run.entry() for run in known_runs(folder)]
            live.update(table(entries, workers=None), refresh=True)
            time.sleep(_SECONDS)
