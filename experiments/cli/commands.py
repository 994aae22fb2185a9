"""`python -m experiments <command>`: prefetch, landscape, report, status, pack, unpack.

Nothing heavy is imported before it is needed: a command's function imports what it calls.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.cli.parser import Once, Parser, folder_path, guarded
from experiments.errors import OK, UserError, did_you_mean
from experiments.stopping import unwinding
from experiments.torchrun import refuse_several

# Between two displays of `status --watch`.
_SECONDS = 2.0

_PREFETCH = """\
Fetch what a run of `python main.py key=value ...` needs: the data, the model, the tokenizer,
tokens. Each goes to where the run looks: below data_root, into cache_dir, into the caches of the
Hugging Face hub. All is read once, on the CPU, and listed with sizes. Afterwards the same run
needs no network (HF_HUB_OFFLINE=1 keeps libraries from trying). If nothing has to be fetched, it
only checks, without a network. Keys are those of `python main.py --help`; task.download is true.

examples:
  python -m experiments prefetch task=mnist data_root=data
  python -m experiments prefetch task=glue/mrpc task.source=hub model=bert
"""
_LANDSCAPE = """\
Repeat a run and evaluate the loss along the direction of chosen steps: landscape.png and
landscape.json in the run's folder. Takes as long as the run took up to the last of these steps.

keys:
  steps=[1,10,100]   the default is six steps from the first to the last
  points=41          evaluations per step
  reach=3            how far to look, in accepted steps
  data_root=PATH     the default is the run's own

example:
  python -m experiments landscape results/default/digits-resnet/alsals/s0-0f5a0f2c steps=[1,10,100]
"""
_REPORT = """\
Write FOLDER/report/ from the files of the runs in FOLDER: report.html (one file, figures
included), report.md, tables.tex and runs.csv. Works while runs are unfinished; the report lists
what cannot be read.

example:
  python -m experiments report results/cpu
"""
_STATUS = """\
Show how far the runs below FOLDER are: how many are finished, running, waiting, stopped, failed,
diverged or stuck; step, loss and time left of each running one; the reason of each failed one.
Only files are read, so that it works beside a sweep and on the folder of another machine; locks
of another machine are seen only where the file system shares them.

example:
  python -m experiments status results/cpu --watch
"""
_PACK = """\
Write FOLDER/runs.tar.xz: what sweeps and reports need of all runs in FOLDER that have ended, with
all evaluations and a tenth of the steps. Small enough to commit. Where it is unpacked, a sweep
goes on with the runs that are missing, and a report has the same tables.

example:
  python -m experiments pack results/replication
"""
_UNPACK = """\
Put the runs of FOLDER/runs.tar.xz into their folders. Runs that have ended there stay as they are.

example:
  python -m experiments unpack results/replication
"""
_EXIT_CODES = """\
exit codes: 0 done, 2 wrong arguments, or something is missing or broken, 130 interrupted,
            143 terminated
"""


def command(argv: Sequence[str] | None = None) -> int:
    """One command; returns the exit code, which `--help` explains. See `guarded`."""
    return guarded(_command, argv)


def _command(words: list[str]) -> int:
    parser = Parser(prog="python -m experiments")
    commands = parser.add_subparsers(title="commands", required=True)

    def add(name: str, answer: Callable[[Any], int], summary: str, text: str) -> Any:
        added = commands.add_parser(name, help=summary, description=text, epilog=_EXIT_CODES)
        added.set_defaults(answer=answer)
        return added

    prefetch = add("prefetch", _prefetch, "fetch and check what a run needs", _PREFETCH)
    prefetch.add_pairs()
    landscape = add("landscape", _landscape, "show the loss along a run's steps", _LANDSCAPE)
    landscape.add_folder()
    landscape.add_pairs()
    report = add("report", _report, "tables, statistics and figures of runs", _REPORT)
    report.add_folder()
    report.add_argument("--output", type=folder_path, action=Once, help="write into another folder")
    status = add("status", _status, "show how far the runs of a sweep are", _STATUS)
    status.add_folder()
    status.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    pack = add("pack", _pack, "write ended runs into one small file", _PACK)
    pack.add_folder()
    unpack = add("unpack", _unpack, "the runs of that file into their folders", _UNPACK)
    unpack.add_folder()

    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in commands.choices:
        near = did_you_mean(name, commands.choices)
        raise UserError(f"{name!r} (command line): unknown command{near}")
    options = parser.parse_args(words)
    refuse_several("python -m experiments")
    return int(options.answer(options))


def _prefetch(options: argparse.Namespace) -> int:
    from experiments.config.compose import load

    config = load(options.pairs)

    from experiments.tasks.prefetch import prefetch

    with unwinding():
        report = prefetch(config)
    offline = f"HF_HUB_OFFLINE=1 python main.py {shlex.join(options.pairs)}".rstrip()
    sys.stdout.write(f"{report}\nwithout a network, this runs now: {offline}\n")
    return OK


def _landscape(options: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from experiments.config.arguments import split_pairs, value_of
    from experiments.config.messages import COMMAND_LINE, complaint, fault, unknown
    from experiments.landscape.command import Options, landscape

    texts = split_pairs(options.pairs, "steps=[1,10]")
    for key in texts:
        if key not in Options.model_fields:
            raise unknown(key, COMMAND_LINE, key, Options.model_fields)
    try:
        chosen = Options.model_validate(
            {key: value_of(key, text, (Options,)) for key, text in texts.items()}
        )
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise fault(key, COMMAND_LINE, complaint(problem)) from None
    landscape(options.folder, chosen)
    return OK


def _report(options: argparse.Namespace) -> int:
    from experiments.report.build import write_report

    with unwinding():
        report = write_report(options.folder, options.output)
    sys.stdout.write(f"report: {report / 'report.html'}\n")
    return OK


def _pack(options: argparse.Namespace) -> int:
    from experiments.files.archive import pack
    from experiments.report.titles import counted

    with unwinding():
        path, count = pack(options.folder)
    megabytes = path.stat().st_size / 1e6
    sys.stdout.write(f"{path}: {counted(count, 'run')}, {megabytes:.1f} MB\n")
    return OK


def _unpack(options: argparse.Namespace) -> int:
    from experiments.files.archive import unpack
    from experiments.report.titles import counted

    with unwinding():
        count = unpack(options.folder)
    sys.stdout.write(f"{counted(count, 'run')} unpacked\n")
    return OK


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    from experiments.sweep.display import table
    from experiments.sweep.status import known_runs

    def current() -> Any:
        """Plans are read again each time: runs are added to them once they are tuned."""
        return table([run.now() for run in known_runs(options.folder)], workers=None)

    console = Console(highlight=False)
    with unwinding():
        if not known_runs(options.folder):
            raise UserError(
                f"{options.folder} (command line): no runs and no plan of a sweep in there"
            )
        if not options.watch:
            console.print(current())
            return OK
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(current(), refresh=True)
                time.sleep(_SECONDS)
