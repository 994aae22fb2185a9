"""Errors in a config, each in one line: key, file or argument, what is wrong, nearest valid name.

No torch.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from experiments.config.schema import RunConfig
from experiments.errors import UserError, did_you_mean
from experiments.models.settings import MODELS
from experiments.optimizers.build import OPTIMIZERS
from experiments.tasks.build import TASKS

COMMAND_LINE = "command line"
SELECTABLE = ("task", "model", "optimizer")

_INSTRUCTIONS = {"task": ["default_model", "trainer"], "model": ["optimizer_defaults"]}
_KINDS: dict[str, dict[str, type[BaseModel]]] = {
    group: {kind.model_fields["kind"].default: kind for kind in kinds}
    for group, kinds in (("task", TASKS), ("model", MODELS), ("optimizer", OPTIMIZERS))
}


class Layer(NamedTuple):
    """Some values of the config, and the file (or the command line) that sets them."""

    source: str
    values: dict[str, Any]


def refuse_reserved(layer: Layer) -> None:
    """Refuse `choices`, and a kind outside its file: they would give the folder a wrong name."""
    if "choices" in layer.values:
        raise unknown("choices", layer.source, "choices", known_keys(["choices"], layer.source))
    for group in SELECTABLE:
        section = layer.values.get(group)
        if isinstance(section, dict) and "kind" in section:
            raise fault(f"{group}.kind", layer.source, f"cannot be set; choose a file by {group}=")


def fault(key: str, source: str, text: str) -> UserError:
    """An error in one line: key, file or argument, what is wrong."""
    shown = key if key.isprintable() else repr(key)
    return UserError(f"{shown} ({source}): {text}")


def unknown(key: str, source: str, name: str, known: Iterable[str]) -> UserError:
    return fault(key, source, f"unknown key{did_you_mean(name, known)}")


def short(value: Any) -> str:
    """A value on one line, cut in the middle where it is long."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 60
    return shortener.repr(value)


def check_plain(layer: Layer) -> None:
    """Refuse references, huge numbers, keys that are no text, and characters that no file can have.

    Deep nesting and wrong types are left to the schema.
    """

    def check(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if not isinstance(name, str):
                    raise fault(key, layer.source, f"the key {short(name)} must be text")
                check(name, key)
                check(inner, f"{key}.{name}" if key else name)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                check(inner, f"{key}.{number}")
        elif isinstance(value, int) and value.bit_length() > 64:
            raise fault(key, layer.source, "must be a number of at most 64 bits")
        elif isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise fault(key, layer.source, f"{short(value)} contains an invalid character")
            if "${" in value:
                text = f"{short(value)}: references (${{…}}) are not supported"
                raise fault(key, layer.source, text)

    check(layer.values, "")


def first_problem(error: ValidationError) -> Any:
    """The first of pydantic's problems; a misspelt key comes first, since it may cause the rest."""
    problems = error.errors(include_url=False)
    return min(problems, key=lambda problem: problem["type"] != "extra_forbidden")


def explain(error: ValidationError, layers: Sequence[Layer]) -> UserError:
    """The first problem of a run's config in one line."""
    problem = first_problem(error)
    location, kind = list(problem["loc"]), None
    if location[0] in SELECTABLE and len(location) > 1:
        kind = str(location.pop(1))  # pydantic puts the union's tag after the group
    key = ".".join(map(str, location))
    source = _source(location, layers[::-1])  # where its value comes from
    section = _source(location, layers)  # where a missing key should be
    match problem["type"]:
        case "extra_forbidden":
            return unknown(key, source, str(location[-1]), known_keys(location, source, kind))
        case "missing":
            return fault(key, section, "missing")
        case "union_tag_not_found":
            return fault(f"{key}.kind", section, "missing")
        case "union_tag_invalid":
            tag = problem["ctx"]["tag"]
            text = f"{short(tag)} is unknown{did_you_mean(tag, _KINDS[key])}"
            return fault(f"{key}.kind", _source([key, "kind"], layers[::-1]), text)
    return fault(key, source, complaint(problem))


def _source(path: Sequence[Any], layers: Sequence[Layer]) -> str:
    """The source of the first of the layers that have the longest part of a key's path."""

    def depth(layer: Layer) -> int:
        values: Any = layer.values
        for number, name in enumerate(path):
            if not isinstance(values, dict) or name not in values:
                return number
            values = values[name]
        return len(path)

    return max(layers, key=depth).source


_MUST_BE = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_long": "must have fewer values",
}


def complaint(problem: Any) -> str:
    """What a value must be, and what it is, for one of pydantic's errors."""
    value = problem["input"]
    if problem["type"] == "literal_error" and isinstance(value, str):
        names = re.findall("'([^']*)'", problem["ctx"]["expected"])
        return f"{short(value)} is unknown{did_you_mean(value, names)}"
    generic = problem["msg"].replace("Input should be", "must be")
    return f"{_MUST_BE.get(problem['type'], generic)}, not {short(value)}"


def known_keys(location: Sequence[Any], source: str, kind: str | None = None) -> list[str]:
    """The valid keys at the place of the last name of `location`; `kind`: of a selectable group."""
    on_command_line = source == COMMAND_LINE
    if len(location) == 1:
        names = [name for name in RunConfig.model_fields if name != "choices"]
        return [*names, "experiment"] if on_command_line else names
    if kind is None:
        section = RunConfig.model_fields[location[0]].annotation
        return list(getattr(section, "model_fields", {}))
    names = [name for name in _KINDS[location[0]][kind].model_fields if name != "kind"]
    return names if on_command_line else [*names, *_INSTRUCTIONS.get(location[0], [])]
