"""The command lines: arguments become a config, the config a run or what a run needs.

Errors are one line.

Nothing heavy is imported before it is needed: `--help` answers without torch.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.config_files import CONFIG_ROOT, GROUPS, available
from experiments.errors import MissingError, UserError, did_you_mean

OK, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
_FLAGS = ("--help", "--print-config")
_COMMANDS = ("prefetch", "report")
_PREFETCH = "python -m experiments prefetch"

_HELP = """\
usage: python main.py [key=value ...] [--print-config] [--help]

Trains one model on one task with one optimizer, and leaves a folder below results/.

choices, the files below config/:
{choices}

main keys:
  seed=0                  of first weights, order of data, augmentation, dropout
  device=auto             auto, cpu, cuda, cuda:1, mps
  data_root=PATH          folder of the data sets; else SLS_DATA_ROOT of the environment
  results_dir=results     below it every run has a folder of its own
  trainer.epochs=5        passes over the data (the default depends on the task)
  trainer.max_steps=null  stop after so many steps
  trainer.batch_size=64   examples a step (the default depends on the task)
  model.layers=2          keep only the first layers of a pretrained model
  model.name=NAME         hub name or local folder of a pretrained model
  optimizer.c=0.3         how much of the promised decrease a step must bring
  optimizer.lr=1e-3       peak rate of adam, adamw and sgd
  logger.wandb=disabled   online, offline, disabled
--print-config shows all keys of a run as YAML and starts nothing.

exit codes: 0 the run finished, 1 the run failed, 2 wrong arguments, files or data, 130 interrupted

examples:
  python main.py
  python main.py task=glue/mrpc model=bert optimizer=alsals seed=3 trainer.epochs=5 data_root=data

`python -m experiments --help` has what else there is to do.
"""

_COMMANDS_HELP = """\
usage: python -m experiments prefetch [key=value ...] [--help]
       python -m experiments report FOLDER

report    writes FOLDER/report/ (report.html, report.md, tables.tex, runs.csv) from the runs there.

prefetch  fetches what a run of `python main.py key=value ...` needs: the data, the model, the
          tokenizer, tokens. Each goes to where the run looks: below data_root, into cache_dir, into
          the caches of the Hugging Face hub. All is read once, on the CPU, and listed with sizes.
          Afterwards the same run needs no network (HF_HUB_OFFLINE=1 keeps libraries from trying).
          Where nothing has to be fetched it only checks, without a network.

keys and choices are those of `python main.py --help`; task.download is as if true.

exit codes: 0 all is there, 2 wrong arguments, or what is missing or broken, 130 interrupted

examples:
  python -m experiments prefetch task=mnist data_root=data
  python -m experiments prefetch task=glue/mrpc task.source=hub model=bert
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; `argv` is without the program's name.

    Returns the exit code: 0 finished, 1 the run ended badly, 2 the user can mend it (one line on
    stderr), 130 interrupted. Every other exception is a bug and goes on.
    """
    return _guarded(_run, list(sys.argv[1:] if argv is None else argv))


def command(argv: Sequence[str] | None = None) -> int:
    """Do what `python -m experiments` is asked for; otherwise as `main`."""
    return _guarded(_command, list(sys.argv[1:] if argv is None else argv))


def _guarded(answer: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The exit code; errors of the user are told in one line."""
    try:
        return answer(arguments)
    except UserError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def help_text(root: Path = CONFIG_ROOT) -> str:
    """What `--help` prints: usage, choices, keys, exit codes, examples."""
    choices = (f"  {group + '=':12}{' '.join(available(root, group))}" for group in GROUPS)
    return _HELP.format(choices="\n".join(choices))


def _run(arguments: list[str]) -> int:
    flags, pairs = _split(arguments)
    if _asks_for_help(flags):
        sys.stdout.write(help_text())
        return OK
    _require_known(flags, _FLAGS)

    from experiments.config import load, to_yaml

    config = load(pairs)
    if flags:
        sys.stdout.write(to_yaml(config))
        return OK

    from experiments.run import run

    try:
        return OK if run(config) else FAILED
    except MissingError as error:
        fetch = f"{_PREFETCH} {shlex.join(pairs)}".rstrip()
        raise MissingError(
            f"{error}; where there is a network, this fetches it: {fetch}"
        ) from error


def _command(arguments: list[str]) -> int:
    flags, words = _split(arguments)
    if _asks_for_help(flags):
        sys.stdout.write(_COMMANDS_HELP)
        return OK
    if not words:
        raise UserError(f"a command is missing (command line); known: {', '.join(_COMMANDS)}")
    name, *pairs = words
    if name not in _COMMANDS:
        raise UserError(f"{name!r} (command line): unknown command{did_you_mean(name, _COMMANDS)}")
    _require_known(flags, ("--help",))
    if name == "report":
        from experiments.report.command import report_command

        return report_command(pairs)
    return _prefetch(pairs)


def _prefetch(pairs: list[str]) -> int:
    from experiments.config import load

    config = load(pairs)

    from experiments.prefetch import prefetch

    report = prefetch(config)
    offline = f"HF_HUB_OFFLINE=1 python main.py {shlex.join(pairs)}".rstrip()
    sys.stdout.write(f"{report}\nwithout a network, this runs now: {offline}\n")
    return OK


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The flags, and the rest."""
    flags = [argument for argument in arguments if argument.startswith("-")]
    return flags, [argument for argument in arguments if not argument.startswith("-")]


def _asks_for_help(flags: list[str]) -> bool:
    return "-h" in flags or "--help" in flags


def _require_known(flags: list[str], known: Sequence[str]) -> None:
    for flag in flags:
        if flag not in known:
            raise UserError(f"{flag!r} (command line): unknown flag{did_you_mean(flag, known)}")
