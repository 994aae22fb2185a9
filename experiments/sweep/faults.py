"""What is wrong with a sweep, in one line: key, where it is written, nearest name. No torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ValidationError

from experiments.config.messages import COMMAND_LINE, complaint, fault, short, unknown
from experiments.config.schema import Section
from experiments.errors import UserError, did_you_mean
from experiments.sweep.schema import (
    LAUNCHERS,
    Grid,
    OptimizerEntry,
    SweepConfig,
    TaskEntry,
    Tuning,
)


def explain(error: ValidationError, source: str, from_command_line: Collection[str]) -> UserError:
    """What pydantic refuses; a misspelt key first, since it may cause the rest.

    `from_command_line` are the first keys that the command line said; the others are `source`'s.
    """
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    location = list(problem["loc"])
    said_by = COMMAND_LINE if location and location[0] in from_command_line else source
    known = _known_keys(location)
    if location[:1] == ["launcher"] and len(location) > 1:
        del location[1]  # pydantic puts the union's tag after the key
    key = ".".join(map(str, location)) or "sweep"
    match problem["type"]:
        case "extra_forbidden":
            return unknown(key, said_by, str(location[-1]), known)
        case "missing":
            return fault(key, said_by, "missing")
        case "union_tag_not_found":
            return fault(f"{key}.kind", said_by, "missing")
        case "union_tag_invalid":
            tag = problem["ctx"]["tag"]
            text = f"{short(tag)} is unknown{did_you_mean(tag, LAUNCHERS)}"
            return fault(f"{key}.kind", said_by, text)
        case "value_error":
            return fault(key, said_by, problem["msg"].removeprefix("Value error, "))
    return fault(key, said_by, complaint(problem))


def _known_keys(location: Sequence[Any]) -> list[str]:
    """The keys that are allowed beside the last one of `location`."""
    section: type[Section]
    match location[:-1]:
        case ["tasks", int()]:
            section = TaskEntry
        case ["optimizers", int()]:
            section = OptimizerEntry
        case ["tuning"]:
            section = Tuning
        case ["tuning", "optimizers", str()]:
            section = Grid
        case ["launcher", str(kind)]:
            section = LAUNCHERS[kind]
        case _:
            section = SweepConfig
    return list(section.model_fields)
