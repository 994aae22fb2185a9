"""A request of `python -m experiments landscape`: a run, steps, a grid. No torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt, ValidationError

from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.files.reading import first_fault
from experiments.files.run_folder import RunFolder
from experiments.settings import LocalPath, Section

_DEFAULT_STEPS = 6


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value if value is None else (value,)


class Options(Section):
    """The keys that may follow the run's folder; `Request` explains them."""

    steps: Annotated[tuple[PositiveInt, ...] | None, BeforeValidator(_as_tuple)] = Field(
        None, min_length=1
    )
    points: int = Field(41, ge=3, le=1001)
    reach: float = Field(3.0, gt=1)
    data_root: LocalPath | None = None


@dataclass(frozen=True)
class Request:
    """A run, and where along it to look.

    Attributes:
        folder: the run's folder.
        config: the run's config, read from its folder.
        recorded: the losses that the run recorded, in order; the first is that of step 1.
        steps: the numbers of the steps to look at, rising, the first of a run being 1.
        points: evaluations along a direction; the accepted step may be one more.
        reach: how far to look, in steps of the size that was accepted.
    """

    folder: RunFolder
    config: RunConfig
    recorded: tuple[float, ...]
    steps: tuple[int, ...]
    points: int
    reach: float


def read_request(path: Path, options: Options, environ: Mapping[str, str] = os.environ) -> Request:
    """The request for the run in the folder `path`.

    `data_root` is the option's, else the config's, else `SLS_DATA_ROOT` of `environ`.

    Raises:
        UserError: if there is no such run, or it has no such step.
    """
    folder = RunFolder(path)
    config = _config(folder)
    data_root = options.data_root or config.data_root or environ.get("SLS_DATA_ROOT")
    losses = [row.get("loss") for row in folder.rows() if row.get("event") == "step"]
    if not losses:
        raise UserError(f"{folder.path} has no step in {folder.metrics_file.name} to look at")
    steps = spread_steps(len(losses)) if options.steps is None else sorted(set(options.steps))
    if steps[-1] > len(losses):
        text = f"{steps[-1]} is beyond the run's end; its last step is {len(losses)}"
        raise UserError(f"steps (command line): {text}")
    return Request(
        folder=folder,
        config=config.model_copy(update={"data_root": data_root or None}),
        recorded=tuple(math.nan if loss is None else float(loss) for loss in losses),
        steps=tuple(steps),
        points=options.points,
        reach=float(options.reach),
    )


def spread_steps(end: int) -> list[int]:
    """At most six steps from 1 to `end`, each about the same multiple of the one before."""
    exponents = (index / (_DEFAULT_STEPS - 1) for index in range(_DEFAULT_STEPS))
    return sorted({round(end**exponent) for exponent in exponents})


def _config(folder: RunFolder) -> RunConfig:
    if not folder.path.is_dir():
        raise UserError(f"{folder.path}: no such folder; a run's folder ends in s<seed>-<hash>")
    if not os.path.exists(folder.config_file):
        raise UserError(f"{folder.path} is not a run's folder: it has no {folder.config_file.name}")
    try:
        return RunConfig.model_validate(folder.config())
    except ValidationError as error:
        raise UserError(
            f"{folder.config_file}: {first_fault(error)}; was it written by another version?"
        ) from error
