"""A sweep's file and the command line become a `SweepConfig` and settings of runs. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from experiments.config import yaml_files
from experiments.config.arguments import argument_of, flat, refuse_blocks_with_keys_inside, value_of
from experiments.config.messages import (
    COMMAND_LINE,
    complaint,
    fault,
    first_problem,
    short,
    unknown,
)
from experiments.config.schema import RunConfig
from experiments.errors import UserError, did_you_mean
from experiments.settings import Section
from experiments.sweep.schema import (
    LAUNCHERS,
    Grid,
    OptimizerEntry,
    SweepConfig,
    TaskEntry,
    Tuning,
)

_INSTEAD = {
    "seed": "seeds=[0,1]",
    "experiment": "experiments=[...]",
    "task": "experiments=[...]",
    "model": "experiments=[...]",
    "optimizer": "optimizers=[...]",
}
_CHOICES = {"experiments", "tasks", "optimizers", "seeds"}
_OWN_KEYS = [name for name in SweepConfig.model_fields if name != "settings"]
_LAUNCHER_FIELDS = {name for kind in LAUNCHERS.values() for name in kind.model_fields} - {"kind"}
_SECTIONS: dict[str, type[Section]] = {
    "": SweepConfig,
    "tasks": TaskEntry,
    "optimizers": OptimizerEntry,
    "tuning": Tuning,
    **{f"launcher.{kind}": section for kind, section in LAUNCHERS.items()},
}


class ReadSweep(NamedTuple):
    """A sweep before its runs' configs are composed."""

    name: str
    source: str
    """Its file, as messages name it."""
    config: SweepConfig
    run_arguments: Mapping[str, str]
    """The command line's settings of every run: key → `key=value`."""
    is_part: bool
    """True if the command line chooses rows, columns or seeds."""


def read_sweep(
    name: str | None, family: str, arguments: Sequence[str], root: Path = yaml_files.CONFIG_ROOT
) -> ReadSweep:
    """The sweep that `key=value` arguments make of a file; the settings of runs are not checked."""
    known = yaml_files.available(root, "sweep")
    name = family if name is None else f"{family}_cpu" if name == "cpu" else name
    if name not in known:
        near = did_you_mean(name, [*known, "cpu"])
        raise UserError(f"--sweep {name!r} ({COMMAND_LINE}): no such file{near}")
    source = yaml_files.label(root, "sweep", name)
    config = _checked(yaml_files.read(root, "sweep", name), source, (), root)
    own, of_runs = _divided(arguments)
    if own:
        raw = _overridden(config, own)
        said = {*own, *(["launcher"] if _LAUNCHER_FIELDS & own.keys() else [])}
        config = _checked(raw, source, said, root)
    return ReadSweep(name, source, config, of_runs, bool(_CHOICES & own.keys()))


def _checked(raw: dict[str, Any], source: str, said: Collection[str], root: Path) -> SweepConfig:
    """The sweep of these values; the keys in `said` are the command line's, others the file's."""

    def where(key: str) -> str:
        return COMMAND_LINE if key in said else source

    try:
        config = SweepConfig.model_validate(raw)
    except ValidationError as error:
        raise _explained(error, where) from None
    if said and "tuning" not in said:
        config = _without_unneeded_tuning(config)
    if said and "targets" not in said:
        kept = {row: target for row, target in config.targets.items() if row in config.rows}
        config = config.model_copy(update={"targets": kept})
    _check_names(config, where, root)
    return config


# ------------------------------------------------------------------------------- command line


def _divided(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The sweep's own keys with their values, and the arguments of its runs by key."""
    own: dict[str, Any] = {}
    of_runs: dict[str, str] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if key in own or key in of_runs:
            raise fault(key, COMMAND_LINE, "given twice")
        if key in _INSTEAD:
            raise fault(key, COMMAND_LINE, f"a sweep takes a list: {_INSTEAD[key]}")
        if key in _OWN_KEYS or key in _LAUNCHER_FIELDS:
            own[key] = value_of(key, text, (SweepConfig, *LAUNCHERS.values()))
            continue
        of_runs[key] = argument
        first = key.split(".")[0]
        # The first part is checked here: main.py, which checks the rest, has no keys of sweeps.
        if equals and first.isidentifier() and first not in RunConfig.model_fields:
            known = {*_OWN_KEYS, *_LAUNCHER_FIELDS, *RunConfig.model_fields}
            raise unknown(key, COMMAND_LINE, first, known - {"choices", *_INSTEAD})
    refuse_blocks_with_keys_inside(of_runs, COMMAND_LINE)
    # A block's keys one by one, so that each overrides its own key alone.
    single: dict[str, str] = {}
    for key, argument in of_runs.items():
        text = argument.partition("=")[2]
        block = value_of(key, text) if text.startswith("{") else None
        if isinstance(block, dict):
            single |= {name: argument_of(name, value) for name, value in flat(key, block)}
        else:
            single[key] = argument
    return own, single


def _overridden(config: SweepConfig, own: Mapping[str, Any]) -> dict[str, Any]:
    """The file's values with those of the command line instead; wrong ones are left to pydantic."""
    raw = config.model_dump(mode="python")
    raw |= {key: value for key, value in own.items() if key not in _LAUNCHER_FIELDS}
    if isinstance(own.get("optimizers"), list):
        raw["optimizers"] = [
            column for name in own["optimizers"] for column in _columns(name, config.optimizers)
        ]
    if isinstance(own.get("experiments"), list) and "tasks" not in own:
        tasks = {entry.row: entry.model_dump() for entry in config.tasks}
        raw["tasks"] = [entry for row, entry in tasks.items() if row in own["experiments"]]
        raw["experiments"] = [name for name in own["experiments"] if name not in tasks]
    raw["launcher"] = _launcher(raw["launcher"], config, own)
    return raw


def _columns(name: Any, entries: Sequence[OptimizerEntry]) -> list[Any]:
    """The file's columns with this label, else those of this name; else the name of a file."""
    labelled = [entry.model_dump() for entry in entries if entry.column == name]
    return labelled or [entry.model_dump() for entry in entries if entry.name == name] or [name]


def _launcher(launcher: Any, config: SweepConfig, own: Mapping[str, Any]) -> Any:
    """The launcher's values: a kind alone keeps the file's fields if the file has that kind."""
    if isinstance(launcher, str):
        same = launcher == config.launcher.kind
        launcher = config.launcher.model_dump() if same else {"kind": launcher}
    if not isinstance(launcher, dict) or launcher.get("kind") not in [*LAUNCHERS]:
        return launcher
    known = [name for name in LAUNCHERS[launcher["kind"]].model_fields if name != "kind"]
    fields = {key: value for key, value in own.items() if key in _LAUNCHER_FIELDS}
    for key in fields:
        if key in launcher and isinstance(own.get("launcher"), dict):
            raise fault(key, COMMAND_LINE, "given twice, by itself and inside launcher=…")
        if key not in known:
            text = f"launcher={launcher['kind']} has only: {', '.join(known)}"
            raise fault(key, COMMAND_LINE, text)
    return {**launcher, **fields}


def _without_unneeded_tuning(config: SweepConfig) -> SweepConfig:
    """The file's tuning stage, for the rows and columns that the command line left."""
    tuning = config.tuning
    if tuning is None:
        return config
    grids = {label: grid for label, grid in tuning.optimizers.items() if label in config.columns}
    reference = tuple(label for label in tuning.reference if label in config.columns)
    rows = tuning.rows and tuple(row for row in tuning.rows if row in config.rows)
    left = tuning.model_copy(update={"optimizers": grids, "reference": reference, "rows": rows})
    return config.model_copy(update={"tuning": left if grids and rows != () else None})


# ------------------------------------------------------------------------------------- errors


def _check_names(config: SweepConfig, where: Callable[[str], str], root: Path) -> None:
    """Refuse unknown files, rows and labels, and settings that are the sweep's own."""

    def check(key: str, names: Iterable[str], known: Sequence[str]) -> None:
        for name in names:
            if name not in known:
                text = f"{short(name)} is unknown{did_you_mean(name, known)}"
                raise fault(key, where(key), text)

    def files(group: str) -> list[str]:
        return yaml_files.available(root, group)

    check("experiments", config.experiments, files("experiment"))
    check("tasks", (entry.task for entry in config.tasks), files("task"))
    check("tasks", (entry.model for entry in config.tasks), files("model"))
    check("optimizers", (entry.name for entry in config.optimizers), files("optimizer"))
    check("targets", config.targets, config.rows)
    if config.tuning is not None:
        check("tuning", (*config.tuning.optimizers, *config.tuning.reference), config.columns)
        check("tuning", config.tuning.rows or (), config.rows)
    for settings in (config.settings, *(entry.settings for entry in config.tasks)):
        refuse_blocks_with_keys_inside(settings, where("settings"))
        for key in settings:
            if key in _INSTEAD or key in _OWN_KEYS:
                text = "is set by the sweep itself and cannot be overridden here"
                raise fault(f"settings.{key}", where("settings"), text)


def _explained(error: ValidationError, where: Callable[[str], str]) -> UserError:
    """The first problem of a sweep's file in one line."""
    problem = first_problem(error)
    location = list(problem["loc"])
    source = where(str(location[0]) if location else "")
    # `tuning.optimizers` has a section for each label.
    section = _SECTIONS.get(".".join(part for part in location[:-1] if isinstance(part, str)), Grid)
    if location[:1] == ["launcher"] and len(location) > 1:
        del location[1]  # pydantic puts the union's tag after the key
    key = ".".join(map(str, location)) or "sweep"
    match problem["type"]:
        case "extra_forbidden":
            return unknown(key, source, str(location[-1]), section.model_fields)
        case "missing":
            return fault(key, source, "missing")
        case "union_tag_not_found":
            return fault(f"{key}.kind", source, "missing")
        case "union_tag_invalid":
            tag = problem["ctx"]["tag"]
            if tag == "gpus":
                text = "launcher=local does this now: with several GPUs each run has one of them"
            else:
                text = f"{short(tag)} is unknown{did_you_mean(tag, LAUNCHERS)}"
            return fault(f"{key}.kind", source, text)
        case "value_error":
            return fault(key, source, problem["msg"].removeprefix("Value error, "))
    return fault(key, source, complaint(problem))
