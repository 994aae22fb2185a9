"""The command line of `main.py`: arguments become a config, the config a run.

Nothing heavy is imported before it is needed: `--help` answers without torch.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from experiments.cli.keys import files, run_keys
from experiments.cli.parser import Parser, guarded
from experiments.errors import FAILED, OK, MissingError
from experiments.stopping import unwinding
from experiments.torchrun import first_speaks

_RUN_NOTES = """\
files below config/:
{files}

keys and their defaults; files may set others, which --print-config shows:
{keys}

exit codes: 0 the run finished, 1 it failed, diverged or never moved, 2 wrong arguments, files or
            data, 3 another process works in the run's folder, 130 interrupted (Ctrl-C), 143
            terminated (SIGTERM); after the last two the same command resumes the run

examples:
  python main.py
  python main.py task=glue/mrpc model=bert optimizer=adam seed=3 trainer.epochs=5 data_root=data

More commands: python -m experiments --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """One run; returns the exit code, which `--help` explains. See `guarded`."""
    return guarded(_run, argv)


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="python main.py",
        description="Train one model on one task with one optimizer.",
        notes=lambda: _RUN_NOTES.format(files=files(), keys=run_keys()),
    )
    parser.add_pairs()
    parser.add_argument(
        "--print-config", action="store_true", help="print all keys as YAML and start nothing"
    )

    from experiments.config.compose import load, to_yaml

    with first_speaks():
        options = parser.parse_args(words)
        config = load(options.pairs)
    if options.print_config:
        sys.stdout.write(to_yaml(config))
        return OK

    from experiments.run import run

    try:
        with unwinding():
            return OK if run(config) else FAILED
    except MissingError as error:
        fetch = f"python -m experiments prefetch {shlex.join(options.pairs)}".rstrip()
        raise MissingError(
            f"{error}; where there is a network, this fetches it: {fetch}"
        ) from error
