"""What `python -m experiments landscape` is asked to look at: a run, steps, a grid. No torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.config.arguments import yaml_value
from experiments.config.home import with_home
from experiments.config.schema import RunConfig
from experiments.errors import UserError, did_you_mean
from experiments.files.run_folder import RunFolder

_KEYS = ("steps", "points", "reach", "data_root")
_DEFAULT_STEPS = 6


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


def read_request(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Request:
    """The request that `<run folder> [key=value ...]` makes.

    `data_root` is the argument's, else the config's, else `SLS_DATA_ROOT` of `environ`.

    Raises:
        UserError: if there is no such run, or an argument does not fit it.
    """
    if not words:
        raise UserError("landscape needs a run's folder: landscape <run folder> [steps=[1,10]]")
    path, *pairs = words
    options = _options(pairs)
    folder = RunFolder(Path(with_home(path, "landscape (command line)")))
    config = _config(folder)
    data_root = options.get("data_root", config.data_root) or environ.get("SLS_DATA_ROOT")
    recorded = _recorded_losses(folder)
    return Request(
        folder=folder,
        config=config.model_copy(update={"data_root": data_root or None}),
        recorded=recorded,
        steps=_steps(options.get("steps"), len(recorded)),
        points=_points(options.get("points", 41)),
        reach=_reach(options.get("reach", 3)),
    )


def spread_steps(end: int) -> tuple[int, ...]:
    """At most six steps from 1 to `end`, each about the same multiple of the one before."""
    exponents = (index / (_DEFAULT_STEPS - 1) for index in range(_DEFAULT_STEPS))
    return tuple(sorted({round(end**exponent) for exponent in exponents}))


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"{pair!r} (command line): must be key=value, as in steps=[1,10]")
        if key not in _KEYS:
            raise UserError(f"{key} (command line): unknown key{did_you_mean(key, _KEYS)}")
        if key in options:
            raise UserError(f"{key} (command line): given twice")
        options[key] = text if key == "data_root" else yaml_value(key, text)
    return options


def _config(folder: RunFolder) -> RunConfig:
    if not folder.path.is_dir():
        raise UserError(f"{folder.path}: no such folder; a run's folder ends in s<seed>-<hash>")
    if not os.path.exists(folder.config_file):
        raise UserError(f"{folder.path} is not a run's folder: it has no {folder.config_file.name}")
    try:
        return RunConfig.model_validate(folder.config())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{folder.config_file}: {key}: {first['msg']}; was it written by another version?"
        ) from error


def _recorded_losses(folder: RunFolder) -> tuple[float, ...]:
    losses = [row.get("loss") for row in folder.rows() if row.get("event") == "step"]
    if not losses:
        raise UserError(f"{folder.path} has no step in {folder.metrics_file.name} to look at")
    return tuple(math.nan if loss is None else float(loss) for loss in losses)


def _steps(given: Any, end: int) -> tuple[int, ...]:
    if given is None:
        return spread_steps(end)
    steps = given if isinstance(given, list) else [given]
    if not steps or not all(type(step) is int and step >= 1 for step in steps):
        raise UserError(f"steps={given} (command line): must be whole numbers from 1, as [1,10]")
    if max(steps) > end:
        raise UserError(f"steps: {max(steps)} is beyond the run's end; its last step is {end}")
    return tuple(sorted(set(steps)))


def _points(given: Any) -> int:
    if type(given) is not int or not 3 <= given <= 1001:
        raise UserError(f"points={given} (command line): must be a whole number in [3, 1001]")
    return given


def _reach(given: Any) -> float:
    if type(given) not in (int, float) or not (math.isfinite(given) and given > 1):
        raise UserError(f"reach={given} (command line): must be a number above 1")
    return float(given)
