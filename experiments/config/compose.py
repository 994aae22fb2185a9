"""From YAML files and arguments to one resolved `RunConfig`; its hash and its folder. No torch.

A config is a list of layers, each a file or an argument; later layers win. Errors name the file or
argument they come from. The order of the layers is in `docs/configs.md`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from experiments.config import messages, yaml_files
from experiments.config.arguments import refuse_blocks_with_keys_inside, split_pairs, value_of
from experiments.config.messages import COMMAND_LINE, SELECTABLE, Layer, fault, unknown
from experiments.config.schema import Quirks, RunConfig
from experiments.config.yaml_files import CONFIG_ROOT
from experiments.errors import UserError, did_you_mean
from experiments.files.run_folder import NO_EXPERIMENT, run_place
from experiments.settings import with_home

# Keys that cannot change a result; `choices` names files, and `profile` is written out in `quirks`.
_NOT_HASHED: dict[str, Any] = {
    **dict.fromkeys(
        ("choices", "results_dir", "data_root", "cache_dir", "device", "logger", "profile"), True
    ),
    "trainer": {"workers", "checkpoint_every_steps"},
    "task": {"download"},
}
# Keys that optimizers got later. Null, they are not hashed, so that older runs keep their names.
_LATER = ("smoothing", "max_extra_forwards", "max_grad_norm", "interpolate")


class Choice(NamedTuple):
    """The name of a group's file, and the file or argument that chose it."""

    name: str
    source: str


def load(
    arguments: Sequence[str],
    root: Path = CONFIG_ROOT,
    environ: Mapping[str, str] = os.environ,
) -> RunConfig:
    """The config of `key=value` arguments and the files below `root`.

    `data_root` is the config's, else `SLS_DATA_ROOT` of `environ`, else None. Raises `UserError`,
    in one line, for everything that is wrong with arguments or files.
    """
    chosen, overrides = _read_arguments(arguments)
    choices, layers = _layers(chosen, root)
    layers += overrides
    for layer in layers:
        messages.check_plain(layer)
    values: dict[str, Any] = {"trainer": {}, "logger": {}}
    for layer in layers:
        values = _merged(values, layer.values, layer.source)
    values["choices"] = choices
    own = values.get("quirks", {})
    if isinstance(own, dict):  # anything else is left to the schema
        # The paper's profile has all quirks, the other none; one that is set by its name wins.
        all_or_none = dict.fromkeys(Quirks.model_fields, values.get("profile") == "paper")
        values["quirks"] = all_or_none | own
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise messages.explain(error, layers) from None
    data_root = config.data_root or environ.get("SLS_DATA_ROOT")
    # Kept as it was written: a config that is passed on should not name somebody's home folder.
    return config.model_copy(update={"data_root": data_root or None})


def to_yaml(config: RunConfig) -> str:
    """The resolved config as YAML; any safe loader reads it back."""
    return yaml_files.dump(config.model_dump(mode="json"))


def config_hash(config: RunConfig) -> str:
    """Eight hexadecimal digits of SHA-256 over the keys that can change a result, as JSON."""
    values = config.model_dump(mode="json", exclude=_NOT_HASHED)
    optimizer = values["optimizer"]
    for key in _LATER:
        if optimizer.get(key) is None:
            optimizer.pop(key, None)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_path(config: RunConfig) -> Path:
    """The run's folder below `results_dir`; see `files.run_folder.LAYOUT`."""
    place = run_place(config.choices.model_dump(), config.seed, config_hash(config))
    return Path(with_home(config.results_dir, "results_dir"), place)


def _read_arguments(arguments: Sequence[str]) -> tuple[dict[str, Choice], list[Layer]]:
    """The chosen files, and one layer for each other `key=value`."""
    pairs = split_pairs(arguments, "trainer.epochs=5")
    groups = [group for group in yaml_files.GROUPS if group in pairs]
    chosen = {group: Choice(pairs.pop(group), COMMAND_LINE) for group in groups}
    refuse_blocks_with_keys_inside(pairs, COMMAND_LINE)
    layers = []
    for key, text in pairs.items():
        values = value_of(key, text)
        for part in reversed(key.split(".")):
            values = {part: values}
        layers.append(Layer(COMMAND_LINE, values))
        messages.refuse_reserved(layers[-1])
    return chosen, layers


def _layers(chosen: dict[str, Choice], root: Path) -> tuple[dict[str, str], list[Layer]]:
    """The names of the chosen files, and their layers, the weakest first."""
    base = Layer(yaml_files.label(root, "config"), yaml_files.read(root, "config"))
    experiment = Layer("", {})
    if "experiment" in chosen:
        experiment = _read(root, "experiment", chosen["experiment"])
    picks = _take_defaults(base)
    decided = {**_take_defaults(experiment), **chosen}
    picks |= decided

    def read_pick(group: str) -> Layer:
        if group not in picks:
            text = f"missing, and no {group}= is given either"
            raise fault(f"defaults.{group}", base.source, text)
        return _read(root, group, picks[group])

    task = read_pick("task")
    default_model = task.values.pop("default_model", None)
    if "model" not in decided and default_model is not None:
        picks["model"] = Choice(str(default_model), task.source)
    model, optimizer = read_pick("model"), read_pick("optimizer")
    known = yaml_files.available(root, "optimizer")
    advice = []
    for layer, prefix in ((model, "model."), (experiment, "")):
        mapping = _take_mapping(layer, "optimizer_defaults", known, prefix)
        if picks["optimizer"].name in mapping:
            advice.append(Layer(layer.source, {"optimizer": mapping[picks["optimizer"].name]}))
    for layer in (base, *advice, experiment):
        messages.refuse_reserved(layer)

    trainer = {"trainer": task.values.pop("trainer")} if "trainer" in task.values else {}
    names = {group: picks[group].name for group in SELECTABLE}
    names["experiment"] = chosen["experiment"].name if "experiment" in chosen else NO_EXPERIMENT
    return names, [
        base,
        Layer(task.source, {"task": task.values, **trainer}),
        Layer(model.source, {"model": model.values}),
        Layer(optimizer.source, {"optimizer": optimizer.values}),
        *advice,
        experiment,
    ]


def _read(root: Path, group: str, choice: Choice) -> Layer:
    """A chosen file, its values not yet below the group's key."""
    known = yaml_files.available(root, group)
    if choice.name not in known:  # which also keeps names from leading out of the folder
        near = did_you_mean(choice.name, known)
        raise UserError(f"{group}={choice.name!r} ({choice.source}): no such file{near}")
    values = yaml_files.read(root, group, choice.name)
    return Layer(yaml_files.label(root, group, choice.name), values)


def _take_defaults(layer: Layer) -> dict[str, Choice]:
    """Remove `defaults` from a file's values and return the choices that it makes."""
    defaults = _take_mapping(layer, "defaults", SELECTABLE)
    return {group: Choice(str(name), layer.source) for group, name in defaults.items()}


def _take_mapping(
    layer: Layer, key: str, known: Collection[str], prefix: str = ""
) -> dict[str, Any]:
    """Remove the mapping at `key` from a file's values and return it; its keys must be `known`."""
    mapping = layer.values.pop(key, None)
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise fault(prefix + key, layer.source, "must be a mapping")
    for name in mapping:
        if name not in known:
            raise unknown(f"{prefix}{key}.{name}", layer.source, str(name), known)
    return mapping


def _merged(
    lower: dict[str, Any], upper: dict[str, Any], source: str, prefix: str = ""
) -> dict[str, Any]:
    """Both mappings in one, `upper` over `lower`; neither is changed. Null unsets either kind."""
    merged = dict(lower)
    for key, value in upper.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value, source, f"{prefix}{key}.")
        elif None not in (old, value) and isinstance(old, dict) != isinstance(value, dict):
            text = "conflicts with the value it overrides (mapping against scalar)"
            raise fault(f"{prefix}{key}", source, text)
        merged[key] = value
    return merged
