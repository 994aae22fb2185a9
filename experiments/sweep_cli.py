"""The command lines of `run_multiple.py` and `run_multiple_img.py`: arguments become a sweep.

Nothing heavy is imported before it is needed: `--help` answers without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.command_line import OK, asks_for_help, guarded, require_known, split
from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.errors import UserError

Family = Literal["text", "images"]
_FLAGS = ("--sweep", "--dry-run", "--retry-failed", "--help")
_PROGRAM: dict[Family, str] = {"text": "run_multiple.py", "images": "run_multiple_img.py"}

_HELP = """\
usage: python {program} [--sweep NAME] [--dry-run] [--retry-failed] [--help] [key=value ...]

Runs a sweep: experiments x optimizers x seeds, each run a process with a folder of its own. What
is finished is skipped, what was stopped goes on from its checkpoint.

--sweep NAME     a file below config/sweep/: {sweeps}
                 cpu is {family}_cpu; the default is {family}
--dry-run        list the runs with their states and times; start and write nothing
--retry-failed   start those again that failed

keys of the sweep:
  seeds=[0,1]                  optimizers=[alsals,adam]    experiments=[{experiment}]
  tuning=null                  no tuning stage: the recommended rates
  results_dir=PATH             launcher=local|gpus|slurm
  workers=2                    runs at a time (local, gpus, slurm)
  partition=NAME time=4:00:00 gpus=1 cpus=4 memory_gb=32      of a job (slurm)
and every key of main.py, for every run: trainer.max_steps=3 data_root=PATH device=cpu profile=paper

exit codes: 0 all runs finished, 1 some did not, 2 wrong arguments, files or data,
            130 interrupted (Ctrl-C), 143 terminated (SIGTERM)

examples:
  python {program} --sweep smoke
  python {program} --sweep cpu --dry-run seeds=[0,1] optimizers=[alsals,adam]
"""


class _Asked(NamedTuple):
    sweep: str | None
    flags: list[str]
    pairs: list[str]


def sweep_text(argv: Sequence[str] | None = None) -> int:
    """The text sweeps; `argv` is without the program's name.

    Returns the exit code: 0 all runs finished, 1 some did not, 2 the user can mend it (one line on
    stderr), 130 interrupted, 143 terminated. Every other exception is a bug and goes on.
    """
    return guarded(lambda arguments: _sweep("text", arguments), argv)


def sweep_images(argv: Sequence[str] | None = None) -> int:
    """The image sweeps; otherwise as `sweep_text`."""
    return guarded(lambda arguments: _sweep("images", arguments), argv)


def help_text(family: Family, root: Path = CONFIG_ROOT) -> str:
    """What `--help` prints: usage, sweeps, keys, exit codes, examples."""
    return _HELP.format(
        program=_PROGRAM[family],
        family=family,
        sweeps=" ".join(available(root, "sweep")),
        experiment="cpu_mrpc_bert" if family == "text" else "cpu_cifar10_vit",
    )


def _sweep(family: Family, arguments: list[str]) -> int:
    if asks_for_help(arguments):
        sys.stdout.write(help_text(family))
        return OK
    asked = _read(arguments)

    from experiments.sweep.plan import load_sweep

    sweep = load_sweep(asked.sweep, family, asked.pairs)
    retry_failed = "--retry-failed" in asked.flags
    if "--dry-run" in asked.flags:
        from experiments.sweep.dry_run import listing

        sys.stdout.write(listing(sweep, retry_failed=retry_failed))
        return OK

    from experiments.sweep.conduct import conduct

    return conduct(sweep, retry_failed=retry_failed)


def _read(arguments: list[str]) -> _Asked:
    """`--sweep NAME` and `--sweep=NAME`, the other flags, and the rest."""
    names: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, name = word.partition("=")
        if flag != "--sweep":
            others.append(word)
            continue
        name = name if equals else next(words, "")
        if not name or name.startswith("-") or "=" in name:
            raise UserError("--sweep (command line): needs a name, as in --sweep cpu")
        names.append(name)
    if len(names) > 1:
        raise UserError("--sweep (command line): given twice")
    flags, pairs = split(others)
    require_known(flags, _FLAGS)
    return _Asked(names[0] if names else None, flags, pairs)
