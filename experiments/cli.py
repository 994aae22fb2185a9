"""The command line of `main.py`: arguments become a config, the config a run.

Nothing heavy is imported before it is needed: `--help` answers without torch.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.command_line import FAILED, OK, asks_for_help, guarded, require_known, split
from experiments.config.yaml_files import CONFIG_ROOT, GROUPS, available
from experiments.errors import MissingError
from experiments.stopping import unwinding

_FLAGS = ("--help", "--print-config")
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

exit codes: 0 the run finished, 1 it failed, diverged or moved nothing,
            2 wrong arguments, files or data,
            3 another process works in the run's folder, 130 interrupted (Ctrl-C),
            143 terminated (SIGTERM); both leave a checkpoint

examples:
  python main.py
  python main.py task=glue/mrpc model=bert optimizer=adam seed=3 trainer.epochs=5 data_root=data

`python -m experiments --help` has what else there is to do.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; `argv` is without the program's name.

    Returns the exit code: 0 finished, 1 the run ended badly, 2 the user can mend it (one line on
    stderr), 3 another process works in the run's folder, 130 interrupted, 143
    terminated. Every other exception is a bug and goes on.
    """
    return guarded(_run, argv)


def help_text(root: Path = CONFIG_ROOT) -> str:
    """What `--help` prints: usage, choices, keys, exit codes, examples."""
    choices = (f"  {group + '=':12}{' '.join(available(root, group))}" for group in GROUPS)
    return _HELP.format(choices="\n".join(choices))


def _run(arguments: list[str]) -> int:
    flags, pairs = split(arguments)
    if asks_for_help(flags):
        sys.stdout.write(help_text())
        return OK
    require_known(flags, _FLAGS)

    from experiments.config.compose import load, to_yaml

    config = load(pairs)
    if flags:
        sys.stdout.write(to_yaml(config))
        return OK

    from experiments.run import run

    try:
        with unwinding():
            return OK if run(config) else FAILED
    except MissingError as error:
        fetch = f"{_PREFETCH} {shlex.join(pairs)}".rstrip()
        raise MissingError(
            f"{error}; where there is a network, this fetches it: {fetch}"
        ) from error
