"""Composition and overrides of YAML into one resolved `RunConfig`; its hash and folder. No torch.

A config is a list of layers, each with the name of where it was written; later layers win. What
is wrong in the result is told with the layer that said it. The order of the layers is in
`docs/architecture.md`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from pydantic import ValidationError

from experiments.config import yaml_files
from experiments.config.arguments import refuse_blocks_with_keys_inside, value_of
from experiments.config.home import with_home
from experiments.config.messages import (
    COMMAND_LINE,
    SELECTABLE,
    Layer,
    check_plain,
    explain,
    fault,
    only_key,
    reference_fault,
    refuse_reserved,
    short,
    unknown,
)
from experiments.config.schema import PROFILES, RunConfig
from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError

NO_EXPERIMENT = "default"

# What cannot change a result; `choices` only names files, and `profile` is written out in `quirks`.
_NOT_HASHED: dict[str, Any] = {
    **dict.fromkeys(
        ("choices", "results_dir", "data_root", "cache_dir", "device", "logger", "profile"), True
    ),
    "trainer": {"workers", "checkpoint_every_steps"},
    "task": {"download"},
}
# Optimizers' keys that came after runs were made. Null, they are not hashed: the runs keep names.
_LATER = ("smoothing",)
_KEY = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


class Choice(NamedTuple):
    """The name of a group's file, and where that name was written."""

    name: str
    source: str


# ------------------------------------------------------------------------------------ public


def load(
    arguments: Sequence[str],
    root: Path = CONFIG_ROOT,
    environ: Mapping[str, str] = os.environ,
) -> RunConfig:
    """The config that `key=value` arguments make of the files below `root`.

    `data_root` is the config's, else `SLS_DATA_ROOT` of `environ`, else None. Raises `UserError`,
    in one line, for everything that is wrong with arguments or files.
    """
    chosen, overrides = _read_arguments(arguments)
    choices, layers = _compose(chosen, root)
    for layer in overrides:
        refuse_reserved(layer)
    layers += overrides
    for layer in layers:
        check_plain(layer)
    values = _merge(layers)
    values["choices"] = choices
    _expand_profile(values)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise explain(error, layers) from None
    data_root = config.data_root or environ.get("SLS_DATA_ROOT")
    # Kept as it was written: a config that is passed on should not name somebody's home folder.
    return config.model_copy(update={"data_root": data_root or None})


def to_yaml(config: RunConfig) -> str:
    """The resolved config as YAML; any safe loader reads it back."""
    return yaml_files.dump(config.model_dump(mode="json"))


def config_hash(config: RunConfig) -> str:
    """Eight hexadecimal digits of SHA-256 over what can change a result, as canonical JSON.

    Left out are `results_dir`, `data_root`, `cache_dir`, `device`, `logger`, `choices`, `profile`,
    `trainer.workers`, `trainer.checkpoint_every_steps` and `task.download`, and of the keys that
    optimizers got later (`smoothing`) those that are null.
    """
    values = config.model_dump(mode="json", exclude=_NOT_HASHED)
    optimizer = values["optimizer"]
    for key in _LATER:
        if optimizer.get(key) is None:
            optimizer.pop(key, None)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_path(config: RunConfig) -> Path:
    """`<results_dir>/<experiment>/<task>-<model>/<optimizer>/s<seed>-<hash>`.

    A slash in a name becomes an underscore, so that every run lies equally deep.
    """
    names: dict[str, str] = {
        key: name.replace("/", "_") for key, name in config.choices.model_dump().items()
    }
    leaf = f"s{config.seed}-{config_hash(config)}"
    folder = Path(with_home(config.results_dir, "results_dir")) / names["experiment"]
    return folder / f"{names['task']}-{names['model']}" / names["optimizer"] / leaf


# --------------------------------------------------------------------------------- arguments


def _read_arguments(arguments: Sequence[str]) -> tuple[dict[str, Choice], list[Layer]]:
    """The chosen files, and one layer for each `key=value`."""
    chosen: dict[str, Choice] = {}
    overrides = []
    seen = set()
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise UserError(
                f"{short(argument)} ({COMMAND_LINE}): must be key=value, as in trainer.epochs=5"
            )
        if key in seen:
            raise UserError(f"{key} ({COMMAND_LINE}): given twice")
        seen.add(key)
        if key in yaml_files.GROUPS:
            chosen[key] = Choice(text, COMMAND_LINE)
        else:
            overrides.append(Layer(COMMAND_LINE, _nested(key, value_of(key, text))))
    refuse_blocks_with_keys_inside(seen - set(yaml_files.GROUPS), COMMAND_LINE)
    return chosen, overrides


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and 3 → `{"a": {"b": 3}}`."""
    return functools.reduce(lambda inner, part: {part: inner}, reversed(key.split(".")), value)


# ------------------------------------------------------------------------------- composition


def _compose(chosen: dict[str, Choice], root: Path) -> tuple[dict[str, str], list[Layer]]:
    """The names of the files that were taken, and their layers, the weakest first."""
    base = Layer(yaml_files.label(root, "config"), yaml_files.read(root, "config"))
    picks = _take_defaults(base)
    experiment = Layer("", {})
    if "experiment" in chosen:
        name, source = chosen["experiment"]
        values = yaml_files.read_choice(root, "experiment", name, source)
        experiment = Layer(yaml_files.label(root, "experiment", name), values)
    decided = {**_take_defaults(experiment), **chosen}
    picks |= decided

    task = _read_pick(root, "task", picks, base.source)
    default_model = task.values.pop("default_model", None)
    if "model" not in decided and default_model is not None:
        picks["model"] = _choice("default_model", default_model, task.source)
    model = _read_pick(root, "model", picks, base.source)
    optimizer = _read_pick(root, "optimizer", picks, base.source)
    optimizers = yaml_files.available(root, "optimizer")
    name = picks["optimizer"].name
    advice = _take_advice(model, "model.", name, optimizers)
    own_advice = _take_advice(experiment, "", name, optimizers)

    for layer in (base, experiment, advice, own_advice):
        refuse_reserved(layer)
    files = [base, _task_layer(task), Layer(model.source, {"model": model.values})]
    files += [Layer(optimizer.source, {"optimizer": optimizer.values}), advice]
    files += [own_advice, experiment]
    names = {group: picks[group].name for group in SELECTABLE}
    names["experiment"] = chosen["experiment"].name if "experiment" in chosen else NO_EXPERIMENT
    return names, files


def _take_defaults(layer: Layer) -> dict[str, Choice]:
    """Remove `defaults` from a file's values and return the choices that it makes."""
    defaults = layer.values.pop("defaults", None)
    if defaults is None:
        return {}
    if not isinstance(defaults, dict):
        raise fault("defaults", layer.source, "must hold keys and values")
    for group in defaults:
        if group not in SELECTABLE:
            raise unknown(f"defaults.{group}", layer.source, str(group), SELECTABLE)
    return {
        group: _choice(f"defaults.{group}", name, layer.source) for group, name in defaults.items()
    }


def _choice(key: str, name: Any, source: str) -> Choice:
    if not isinstance(name, str):
        raise fault(key, source, f"must be the name of a file, not {short(name)}")
    return Choice(name, source)


def _read_pick(root: Path, group: str, picks: dict[str, Choice], base: str) -> Layer:
    """A chosen file, its values not yet below the group's key."""
    if group not in picks:
        raise fault(f"defaults.{group}", base, f"missing, and no {group}= is given either")
    name, source = picks[group]
    values = yaml_files.read_choice(root, group, name, source)
    return Layer(yaml_files.label(root, group, name), values)


def _task_layer(task: Layer) -> Layer:
    """The values of a task's file: the task's own, and what it asks of the trainer."""
    own = {key: value for key, value in task.values.items() if key != "trainer"}
    asked = {"trainer": task.values["trainer"]} if "trainer" in task.values else {}
    return Layer(task.source, {"task": own, **asked})


def _take_advice(layer: Layer, prefix: str, optimizer: str, known: list[str]) -> Layer:
    """Remove `optimizer_defaults` from a file's values; the part that is for `optimizer`."""
    advice = layer.values.pop("optimizer_defaults", None)
    if advice is None:
        return Layer(layer.source, {})
    key = f"{prefix}optimizer_defaults"
    if not isinstance(advice, dict):
        raise fault(key, layer.source, "must hold keys and values")
    for name in advice:
        if name not in known:
            raise unknown(f"{key}.{name}", layer.source, str(name), known)
    return Layer(layer.source, {"optimizer": advice[optimizer]} if optimizer in advice else {})


def _expand_profile(values: dict[str, Any]) -> None:
    """Write the profile's quirks out below those that are set; wrong values are left to the schema.

    A profile is a switch for all of them, so it counts as said before any single one.
    """
    profile, own = values.get("profile", "corrected"), values.get("quirks", {})
    if isinstance(profile, str) and profile in PROFILES and isinstance(own, dict):
        values["quirks"] = PROFILES[profile] | own


def _merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers in one, references resolved."""
    merged: Any = OmegaConf.create({"trainer": {}, "logger": {}})
    for layer in layers:
        try:
            merged = OmegaConf.merge(merged, layer.values)
        except (TypeError, OmegaConfBaseException) as error:
            key = only_key(layer.values)
            raise fault(key, layer.source, "does not fit what it overrides") from error
    try:
        return cast(dict[str, Any], OmegaConf.to_container(merged, resolve=True))
    except InterpolationKeyError as error:
        raise reference_fault(error, layers, "refers to a key that does not exist") from error
    except (OmegaConfBaseException, RecursionError) as error:
        raise reference_fault(error, layers, "refers to itself, or to what has no keys") from error
