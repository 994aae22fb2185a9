"""The command lines of `run_multiple.py` and `run_multiple_img.py`: arguments become a sweep.

Nothing heavy is imported before it is needed: `--help` answers without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from experiments.cli.keys import launcher_keys
from experiments.cli.parser import Once, Parser, guarded
from experiments.config.yaml_files import CONFIG_ROOT, available
from experiments.errors import OK
from experiments.torchrun import refuse_several

_SWEEP_NOTES = """\
files below config/sweep/: {sweeps}

keys of the sweep:
  seeds=[0,1]                  optimizers=[alsals,adam]    experiments=[{experiment}]
  tuning=null                  no tuning stage: the recommended rates
  results_dir=PATH
{launchers}
and every key of main.py, for every run: trainer.max_steps=3 data_root=PATH device=cpu profile=paper

exit codes: 0 all runs finished, 1 some did not, 2 wrong arguments, files or data,
            130 interrupted (Ctrl-C), 143 terminated (SIGTERM)

examples:
  {program} --sweep smoke
  {program} --sweep cpu --dry-run seeds=[0,1] optimizers=[alsals,adam]
"""


def sweep_text(argv: Sequence[str] | None = None) -> int:
    """A sweep of text tasks; returns the exit code, which `--help` explains. See `guarded`."""
    return guarded(lambda words: _sweep("text", words), argv)


def sweep_images(argv: Sequence[str] | None = None) -> int:
    """A sweep of image tasks, otherwise as `sweep_text`."""
    return guarded(lambda words: _sweep("images", words), argv)


def _sweep(family: Literal["text", "images"], words: list[str]) -> int:
    is_text = family == "text"
    program = f"python {'run_multiple.py' if is_text else 'run_multiple_img.py'}"
    parser = Parser(
        prog=program,
        description="Run a sweep, experiments x optimizers x seeds, each run in a process and a "
        "folder of its\nown. Finished runs are skipped, stopped ones go on from their checkpoints.",
        notes=lambda: _SWEEP_NOTES.format(
            program=program,
            experiment="cpu_mrpc_bert" if is_text else "cpu_cifar10_vit",
            launchers=launcher_keys(),
            sweeps=" ".join(available(CONFIG_ROOT, "sweep")),
        ),
    )
    parser.add_pairs()
    parser.add_argument(
        "--sweep",
        metavar="NAME",
        action=Once,
        help=f"a file below config/sweep/; cpu is {family}_cpu; the default is {family}",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs with their states and times; start and write nothing",
    )
    parser.add_argument("--retry-failed", action="store_true", help="start failed runs again")
    options = parser.parse_args(words)
    refuse_several(program)

    from experiments.sweep.plan import load_sweep

    sweep = load_sweep(options.sweep, family, options.pairs)
    if options.dry_run:
        from experiments.sweep.dry_run import listing

        sys.stdout.write(listing(sweep, retry_failed=options.retry_failed))
        return OK

    from experiments.sweep.conduct import conduct

    return conduct(sweep, retry_failed=options.retry_failed)
