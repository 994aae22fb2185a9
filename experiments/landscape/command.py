"""The landscape of a run: the loss along the directions of some of its steps.

A run is a function of its config, so it can be repeated from its `config.yaml`, in a temporary
folder. The run's own folder gets the results and is otherwise only read. torch is imported once
the arguments are right.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt, ValidationError

from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.files.atomic import atomic_file
from experiments.files.reading import first_fault
from experiments.files.run_folder import RunFolder, json_text
from experiments.settings import LocalPath, Section
from experiments.stopping import unwinding

_DEFAULT_STEPS = 6


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value if value is None else (value,)


class Options(Section):
    """The keys that may follow the run's folder.

    `steps` are the numbers of steps to look at, from 1; `points` evaluations along a direction, to
    which the accepted step may be added; `reach` how far to look, in steps of the accepted size.
    """

    steps: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(_as_tuple)] = Field(
        None, min_length=1
    )
    points: int = Field(41, ge=3, le=1001)
    reach: float = Field(3.0, gt=1)
    data_root: LocalPath | None = None


def landscape(path: Path, options: Options) -> None:
    """Repeat the run in `path` up to the last chosen step; write its landscape's two files.

    Raises:
        UserError: if there is no such run or step, or the run's data or model are missing.
    """
    folder = RunFolder(path)
    config = read_config(folder, options.data_root)
    recorded = [row.get("loss") for row in folder.rows() if row.get("event") == "step"]
    if not recorded:
        raise UserError(f"{folder.path} has no step in {folder.metrics_file.name} to look at")
    steps = spread_steps(len(recorded)) if options.steps is None else sorted(set(options.steps))
    if steps[-1] > len(recorded):
        text = f"{steps[-1]} is beyond the run's end; its last step is {len(recorded)}"
        raise UserError(f"steps (command line): {text}")

    from experiments.landscape.figure import draw_landscape
    from experiments.landscape.look import Looker, repeat_run
    from experiments.landscape.record import Landscape, largest_difference, summary_lines
    from experiments.training.loggers.console import say

    # Not earlier: a signal within an import cannot be unwound.
    with unwinding():
        looker = Looker(steps, points=options.points, reach=options.reach)
        with tempfile.TemporaryDirectory(prefix="landscape-") as temporary:
            losses = repeat_run(config, looker, steps[-1], RunFolder(Path(temporary)))
        result = Landscape(
            run=folder.path.name,
            **config.choices.model_dump(exclude={"experiment"}),
            seed=config.seed,
            reach=float(options.reach),
            largest_difference=largest_difference(
                losses, [math.nan if loss is None else loss for loss in recorded]
            ),
            looks=tuple(looker.looks),
        )
        with atomic_file(folder.landscape_picture) as file:
            file.write(draw_landscape(result))
        with atomic_file(folder.landscape_file) as file:
            file.write((json_text(result.as_json(), indent=2) + "\n").encode())
        say("\n".join(summary_lines(result)))
        say(f"figure: {folder.landscape_picture}\nnumbers: {folder.landscape_file}")


def spread_steps(end: int) -> list[int]:
    """At most six steps from 1 to `end`, each about the same multiple of the one before."""
    exponents = (index / (_DEFAULT_STEPS - 1) for index in range(_DEFAULT_STEPS))
    return sorted({round(end**exponent) for exponent in exponents})


def read_config(
    folder: RunFolder, data_root: str | None, environ: Mapping[str, str] = os.environ
) -> RunConfig:
    """The run's config; `data_root` is the option's, else the config's, else the environment's."""
    if not folder.path.is_dir():
        raise UserError(f"{folder.path}: no such folder; a run's folder ends in s<seed>-<hash>")
    if not os.path.exists(folder.config_file):
        raise UserError(f"{folder.path} is not a run's folder: it has no {folder.config_file.name}")
    try:
        config = RunConfig.model_validate(folder.config())
    except ValidationError as error:
        raise UserError(
            f"{folder.config_file}: {first_fault(error)}; was it written by another version?"
        ) from error
    data_root = data_root or config.data_root or environ.get("SLS_DATA_ROOT")
    return config.model_copy(update={"data_root": data_root or None})
