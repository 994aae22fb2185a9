"""A sweep's file and the command line become a `SweepConfig` and settings of runs. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from experiments.config import yaml_files
from experiments.config.arguments import argument_of, flat, refuse_blocks_with_keys_inside, value_of
from experiments.config.messages import COMMAND_LINE, fault, short, unknown
from experiments.config.schema import RunConfig
from experiments.errors import UserError, did_you_mean
from experiments.sweep.faults import explain
from experiments.sweep.schema import LAUNCHERS, OptimizerEntry, SweepConfig

_INSTEAD = {
    "seed": "seeds=[0,1]",
    "experiment": "experiments=[...]",
    "task": "experiments=[...]",
    "model": "experiments=[...]",
    "optimizer": "optimizers=[...]",
}
_OWN_KEYS = [name for name in SweepConfig.model_fields if name != "settings"]
_LAUNCHER_FIELDS = {
    name for launcher in LAUNCHERS.values() for name in launcher.model_fields if name != "kind"
}


class ReadSweep(NamedTuple):
    """A sweep before its runs' configs are composed."""

    name: str
    source: str
    """How messages call its file."""
    config: SweepConfig
    run_arguments: Mapping[str, str]
    """What the command line says of every run: key → `key=value`."""


def read_sweep(
    name: str | None, family: str, arguments: Sequence[str], root: Path = yaml_files.CONFIG_ROOT
) -> ReadSweep:
    """The sweep that `key=value` arguments make of a file below `root/sweep`.

    Raises:
        UserError: for everything that is wrong with the file, the names in it or the arguments;
            the settings of runs are not looked at.
    """
    name = _file_name(name, family, root)
    source = yaml_files.label(root, "sweep", name)
    raw = yaml_files.read(root, "sweep", name)
    in_file = _validated(raw, source, ())
    _check_names(in_file, source, (), root)
    own, of_runs = _divided(arguments)
    if not own:
        return ReadSweep(name, source, in_file, of_runs)
    raw = _overridden(in_file, own)
    config = _validated(raw, source, own)
    if "tuning" not in own:
        config = _without_unneeded_tuning(config)
    _check_names(config, source, own, root)
    return ReadSweep(name, source, config, of_runs)


def _file_name(name: str | None, family: str, root: Path) -> str:
    known = yaml_files.available(root, "sweep")
    wanted = family if name is None else f"{family}_cpu" if name == "cpu" else name
    if wanted not in known:
        near = did_you_mean(wanted, [*known, "cpu"])
        raise UserError(f"--sweep {wanted!r} ({COMMAND_LINE}): no such file{near}")
    return wanted


def _validated(raw: dict[str, Any], source: str, from_command_line: Iterable[str]) -> SweepConfig:
    try:
        return SweepConfig.model_validate(raw)
    except ValidationError as error:
        raise explain(error, source, set(from_command_line)) from None


# ------------------------------------------------------------------------------- command line


def _divided(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the arguments say of the sweep, parsed, and of its runs, as it was written."""
    own: dict[str, Any] = {}
    of_runs: dict[str, str] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if key in own or key in of_runs:
            raise fault(key, COMMAND_LINE, "given twice")
        if key in _INSTEAD:
            raise fault(key, COMMAND_LINE, f"a sweep has many; write {_INSTEAD[key]}")
        if key in _OWN_KEYS or key in _LAUNCHER_FIELDS:
            own[key] = value_of(key, text, (SweepConfig, *LAUNCHERS.values()))
        else:
            if equals:
                _refuse_unknown(key)
            of_runs[key] = argument
    refuse_blocks_with_keys_inside(of_runs, COMMAND_LINE)
    return own, dict(pair for item in of_runs.items() for pair in _of_block(*item))


def _of_block(key: str, argument: str) -> Iterator[tuple[str, str]]:
    """The arguments of a block's keys, so that each is the last word on its own key alone."""
    text = argument.partition("=")[2]
    value = value_of(key, text) if text.startswith("{") else None
    if not isinstance(value, dict):
        yield key, argument
        return
    for name, inner in flat(key, value):
        yield name, argument_of(name, inner)


def _refuse_unknown(key: str) -> None:
    """main.py, which judges the rest of a key, does not know the keys of a sweep."""
    known = {*_OWN_KEYS, *_LAUNCHER_FIELDS, *RunConfig.model_fields} - {*_INSTEAD, "choices"}
    first = key.split(".")[0]
    if first.isidentifier() and first not in (*RunConfig.model_fields, "choices"):
        raise unknown(key, COMMAND_LINE, first, known)


def _overridden(config: SweepConfig, own: dict[str, Any]) -> dict[str, Any]:
    """The file's values below those of the command line; `own` gets the keys that it implies."""
    raw = config.model_dump(mode="python")
    raw |= {key: value for key, value in own.items() if key not in _LAUNCHER_FIELDS}
    if isinstance(own.get("optimizers"), list):
        raw["optimizers"] = _optimizers(own["optimizers"], config.optimizers)
    if isinstance(own.get("experiments"), list) and "tasks" not in own:
        tasks = {entry.row: entry.model_dump() for entry in config.tasks}
        asked = own["experiments"]
        raw["tasks"] = [tasks[name] for name in tasks if name in asked]
        raw["experiments"] = [name for name in asked if name not in tasks]
    raw["launcher"] = _launcher(raw["launcher"], config, own)
    own.update(dict.fromkeys(("launcher",) if _LAUNCHER_FIELDS & set(own) else ()))
    return raw


def _optimizers(asked: list[Any], entries: Sequence[OptimizerEntry]) -> list[Any]:
    """Labels and names of the file's columns stand for these; others are left for their files."""
    chosen: list[Any] = []
    for name in asked:
        by_label = [entry for entry in entries if entry.column == name]
        same = by_label if by_label else [entry for entry in entries if entry.name == name]
        chosen += [entry.model_dump() for entry in same] if same else [name]
    return chosen


def _launcher(asked: Any, config: SweepConfig, own: Mapping[str, Any]) -> Any:
    """The launcher's values: a kind alone keeps the file's fields if the file has that kind."""
    in_file = config.launcher.model_dump()
    if isinstance(asked, str):
        asked = in_file if asked == in_file["kind"] else {"kind": asked}
    if not isinstance(asked, dict) or asked.get("kind") not in LAUNCHERS:
        return asked  # pydantic says what is wrong with it
    kind = asked["kind"]
    known = [name for name in LAUNCHERS[kind].model_fields if name != "kind"]
    fields = {key: value for key, value in own.items() if key in _LAUNCHER_FIELDS}
    if isinstance(own.get("launcher"), dict):
        for key in sorted(fields.keys() & asked.keys()):
            raise fault(key, COMMAND_LINE, "given twice, by itself and inside launcher=…")
    for key in fields:
        if key not in known:
            raise fault(key, COMMAND_LINE, f"launcher={kind} has only: {', '.join(known)}")
    return {**asked, **fields}


def _without_unneeded_tuning(config: SweepConfig) -> SweepConfig:
    """The file's tuning stage, for the rows and columns that the command line left."""
    tuning = config.tuning
    if tuning is None:
        return config
    grids = {label: grid for label, grid in tuning.optimizers.items() if label in config.columns}
    reference = tuple(label for label in tuning.reference if label in config.columns)
    rows = tuning.rows
    if rows is not None:
        rows = tuple(row for row in rows if row in config.rows)
    left = {"optimizers": grids, "reference": reference, "rows": rows}
    keep = grids and rows != ()
    return config.model_copy(update={"tuning": tuning.model_copy(update=left) if keep else None})


# ----------------------------------------------------------------------------------- names


def _check_names(
    config: SweepConfig, source: str, from_command_line: Iterable[str], root: Path
) -> None:
    """Refuse files, rows and labels that do not exist, and settings that a sweep decides."""
    said = set(from_command_line)

    def check(key: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            where = COMMAND_LINE if key in said else source
            raise fault(key, where, f"{short(name)} is unknown{did_you_mean(name, known)}")

    experiments = yaml_files.available(root, "experiment")
    for name in config.experiments:
        check("experiments", name, experiments)
    for entry in config.tasks:
        check("tasks", entry.task, yaml_files.available(root, "task"))
        check("tasks", entry.model, yaml_files.available(root, "model"))
    optimizers = yaml_files.available(root, "optimizer")
    for column in config.optimizers:
        check("optimizers", column.name, optimizers)
    if config.tuning is not None:
        for label in (*config.tuning.optimizers, *config.tuning.reference):
            check("tuning", label, config.columns)
        for row in config.tuning.rows if config.tuning.rows is not None else ():
            check("tuning", row, config.rows)
    for settings in (config.settings, *(entry.settings for entry in config.tasks)):
        refuse_blocks_with_keys_inside(settings, source)
        for key in settings:
            if key in _INSTEAD or key in _OWN_KEYS:
                raise fault(f"settings.{key}", source, "is what the sweep says elsewhere")
