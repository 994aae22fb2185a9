"""`python -m experiments <command>`: what else there is to do than one run.

Nothing heavy is imported before it is needed: a command's function imports what it calls.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.command_line import OK, asks_for_help, guarded, require_known, split
from experiments.errors import UserError, did_you_mean
from experiments.report.command import HELP as REPORT_HELP
from experiments.report.command import SUMMARY as REPORT_SUMMARY
from experiments.stopping import unwinding
from experiments.sweep.status_command import HELP as STATUS_HELP

_PREFETCH_HELP = """\
usage: python -m experiments prefetch [key=value ...] [--help]

Fetches what a run of `python main.py key=value ...` needs: the data, the model, the tokenizer,
tokens. Each goes to where the run looks: below data_root, into cache_dir, into the caches of the
Hugging Face hub. All is read once, on the CPU, and listed with sizes. Afterwards the same run
needs no network (HF_HUB_OFFLINE=1 keeps libraries from trying). Where nothing has to be fetched
it only checks, without a network.

keys and choices are those of `python main.py --help`; task.download is as if true.

exit codes: 0 all is there, 2 wrong arguments, or what is missing or broken,
            130 interrupted, 143 terminated

examples:
  python -m experiments prefetch task=mnist data_root=data
  python -m experiments prefetch task=glue/mrpc task.source=hub model=bert
"""


_LANDSCAPE_HELP = """\
usage: python -m experiments landscape <run folder> [steps=[1,10,100]] [points=41] [reach=3]
                                       [data_root=PATH] [--help]

Repeats a run and looks, at chosen steps, at the loss along the direction of the step, up to three
times as far as was accepted: landscape.png and landscape.json in the folder. Takes as long as the
run took up to the last of these steps; the default is six steps from the first to the last.

exit codes: 0 done, 2 wrong arguments, or what is missing or broken,
            130 interrupted, 143 terminated

example:
  python -m experiments landscape results/default/digits-resnet/alsals/s0-0f5a0f2c steps=[1,10,100]
"""


@dataclass(frozen=True)
class Command:
    """One word after `python -m experiments`."""

    summary: str
    """What it does, in a line of the overview."""
    help: str
    """What its own `--help` prints."""
    answer: Callable[[list[str]], int]
    """From the arguments after its name, flags included, to the exit code."""


def command(argv: Sequence[str] | None = None) -> int:
    """Do what `python -m experiments` is asked for; `argv` is without the program's name.

    Returns the exit code: 0 done, 1 failed, 2 the user can mend it (one line on stderr), 130
    interrupted, 143 terminated. Every other exception is a bug and goes on.
    """
    return guarded(_answer, argv)


def _answer(arguments: list[str]) -> int:
    _, words = split(arguments)
    name = words[0] if words else ""
    if asks_for_help(arguments):
        sys.stdout.write(COMMANDS[name].help if name in COMMANDS else _overview())
        return OK
    if not words:
        raise UserError(f"a command is missing (command line); known: {', '.join(COMMANDS)}")
    if name not in COMMANDS:
        raise UserError(f"{name!r} (command line): unknown command{did_you_mean(name, COMMANDS)}")
    if arguments[0] != name:
        raise UserError(f"{arguments[0]!r} (command line): flags come after the command, {name}")
    return COMMANDS[name].answer(arguments[1:])


def _overview() -> str:
    lines = (f"  {name:10}{known.summary}" for name, known in COMMANDS.items())
    return "\n".join(("usage: python -m experiments COMMAND [...] [--help]", "", *lines, ""))


def _prefetch(arguments: list[str]) -> int:
    flags, pairs = split(arguments)
    require_known(flags, ("--help",))

    from experiments.config.compose import load

    config = load(pairs)

    from experiments.tasks.prefetch import prefetch

    with unwinding():
        report = prefetch(config)
    offline = f"HF_HUB_OFFLINE=1 python main.py {shlex.join(pairs)}".rstrip()
    sys.stdout.write(f"{report}\nwithout a network, this runs now: {offline}\n")
    return OK


def _landscape(arguments: list[str]) -> int:
    flags, words = split(arguments)
    require_known(flags, ("--help",))

    from experiments.landscape.request import read_request

    request = read_request(words)

    from experiments.landscape.command import landscape

    with unwinding():
        landscape(request)
    return OK


def _status(arguments: list[str]) -> int:
    flags, words = split(arguments)

    from experiments.sweep.status_command import status

    with unwinding():
        return status(words, flags)


def _report(arguments: list[str]) -> int:
    from experiments.report.command import report_command

    with unwinding():
        return report_command(arguments)


COMMANDS = {
    "prefetch": Command("fetch and check what a run needs", _PREFETCH_HELP, _prefetch),
    "landscape": Command("look at the loss along a run's steps", _LANDSCAPE_HELP, _landscape),
    "report": Command(REPORT_SUMMARY, REPORT_HELP, _report),
    "status": Command("show how far the runs of a sweep are", STATUS_HELP, _status),
}
