"""The files and keys that `--help` lists, from `config/` and the schemas. No torch."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from experiments.config.yaml_files import CONFIG_ROOT, GROUPS, available


def files() -> str:
    """The files below `config/`, one paragraph per group."""
    lines = (f"{group + '=':12}{' '.join(available(CONFIG_ROOT, group))}" for group in GROUPS)
    return "\n".join(_filled(line, 14) for line in lines)


def run_keys() -> str:
    """Every key of a run: default, description and type."""
    from experiments.config.schema import RunConfig

    schema = RunConfig.model_json_schema()

    def properties(reference: Mapping[str, str]) -> dict[str, Any]:
        return dict(schema["$defs"][reference["$ref"].rpartition("/")[2]]["properties"])

    lines: list[str] = []
    for name, key in schema["properties"].items():
        if "oneOf" in key:  # task, model, optimizer
            for section in map(properties, key["oneOf"]):
                kind = section.pop("kind")["const"]
                lines.append(_filled(f"{name}.* ({kind}): {_with_defaults(section)}", 6))
        elif "$ref" not in key:
            lines.append(_key(name, key))
        elif name != "choices":
            lines += (_key(f"{name}.{inner}", value) for inner, value in properties(key).items())
    return "\n".join(lines)


def launcher_keys() -> str:
    """Every key of every launcher of a sweep."""
    from experiments.sweep.schema import LAUNCHERS

    lines: list[str] = []
    for kind, section in LAUNCHERS.items():
        keys = section.model_json_schema()["properties"]
        del keys["kind"]
        lines += (f"  launcher={kind}", *(_key(name, key) for name, key in keys.items()))
    return "\n".join(lines)


def _key(name: str, key: Mapping[str, Any]) -> str:
    description = f"{key['description']} " if "description" in key else ""
    return _filled(f"{_with_defaults({name: key}):35}{description}({_type(key)})", 37)


def _with_defaults(keys: Mapping[str, Mapping[str, Any]]) -> str:
    defaults = {name: key.get("default", "") for name, key in keys.items()}
    return " ".join(
        f"{name}={default if isinstance(default, str) else json.dumps(default)}"
        for name, default in defaults.items()
    )


def _type(key: Mapping[str, Any]) -> str:
    if "anyOf" in key:
        return " or ".join(map(_type, key["anyOf"]))
    names = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    return ", ".join(key.get("enum", [names.get(key["type"], key["type"])]))


def _filled(line: str, indent: int) -> str:
    return textwrap.fill(
        f"  {line}", 98, subsequent_indent=" " * indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
