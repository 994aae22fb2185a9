"""The files below `config/`: their names, and YAML read safely. No torch.

This YAML is plain data: no tags, anchors, aliases, dates or repeated keys. It means what it looks
like: `1e-3` is a number, which YAML 1.1 would read as text; `1:30:00`, `no` and `Null` are text,
which YAML 1.1 would read as 5400, false and null. Values that people read in several ways are
refused: `010` (8 in YAML 1.1), `~` (null, or the home folder), `1__0`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from experiments.errors import UserError

CONFIG_ROOT = Path(__file__).resolve().parents[2] / "config"
GROUPS = ("task", "model", "optimizer", "experiment")

_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_EXPONENT_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+\Z")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_INT, _FLOAT, _BOOL, _NULL, _TEXT, _TIMESTAMP = (
    f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null", "str", "timestamp")
)
_OWN = {
    _BOOL: re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    _NULL: re.compile(r"(?:null|~|)\Z"),
}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+\Z")
_STRAY_UNDERSCORE = re.compile(r"_(?![0-9A-Fa-f])|(?<![0-9A-Fa-f])_")


class BrokenYamlError(Exception):
    """Text that is not the YAML of this module; `line` counts from 1, or is None if unknown.

    `unclear`: it is YAML, but can be read in several ways.
    """

    def __init__(self, problem: str, line: int | None, *, unclear: bool = False) -> None:
        super().__init__(problem)
        self.line = line
        self.unclear = unclear


def _ambiguity(tag: str, text: str) -> str:
    """Why a value without quotes is refused; empty if it is clear."""
    if tag == _NULL and text == "~":
        return "~ may be null or the home folder: write null, or '~' in quotes"
    if tag not in (_INT, _FLOAT):
        return ""
    shown = text if len(text) <= 40 else f"{text[:20]}…{text[-10:]}"
    if tag == _INT and _LEADING_ZERO.match(text):
        return f"{shown} begins with a zero: write it without, or in quotes where it is text"
    if _STRAY_UNDERSCORE.search(text):
        return f"{shown} has an underscore that is not between digits"
    digits = re.split("[eE]", text)[0]
    if tag == _FLOAT and re.search("[1-9]", digits) and float(text.replace("_", "")) == 0:
        return f"{shown} is too small: it would be 0"
    return ""


class _Loader(yaml.SafeLoader):
    """The safe loader for the part of YAML described above."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as the base class has it)
        first: [
            *([(_TEXT, _SEXAGESIMAL)] if first in "-+0123456789" else []),
            *((tag, _OWN.get(tag, pattern)) for tag, pattern in entries if tag != _TIMESTAMP),
        ]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse anchors, aliases and tags before they take effect."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        special = getattr(event, "anchor", None) or getattr(event, "tag", None)
        if special is not None:
            problem = f"anchors, aliases and tags are not allowed: {special!r}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            unclear = _ambiguity(node.tag, node.value)
            if unclear:
                raise BrokenYamlError(unclear, node.start_mark.line + 1, unclear=True)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is written twice."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} is written twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which also quotes the text '1e-3', so that every loader reads text."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(_FLOAT, _EXPONENT_FLOAT, list("-+.0123456789"))


def parse(text: str) -> Any:
    """The value of one YAML document; raises `BrokenYamlError`."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise BrokenYamlError(" ".join(str(error.problem).split()), line) from error
    except yaml.reader.ReaderError as error:
        raise BrokenYamlError(f"{error.reason} (character {error.position})", None) from error
    except RecursionError as error:
        raise BrokenYamlError("nested too deeply", None) from error
    except ValueError as error:  # a number that Python cannot read, as 0b_ or one of 5,000 digits
        raise BrokenYamlError("not a number that can be read", None) from error


# Sweeps and their tests read the same few files hundreds of times.
_parsed = lru_cache(maxsize=256)(parse)


def has_comment(text: str) -> bool:
    """Whether valid YAML has a `#` outside of its tokens."""
    tokens = yaml.scan(text, Loader=_Loader)
    spans = [(token.start_mark.index, token.end_mark.index) for token in tokens]
    places = (place for place, letter in enumerate(text) if letter == "#")
    return any(not any(start <= place < end for start, end in spans) for place in places)


def dump(values: dict[str, Any]) -> str:
    """YAML of plain values, in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def available(root: Path, group: str) -> list[str]:
    """The names of a group's files, sorted: their paths below the group's folder, no suffix."""
    folder = root / group
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    return sorted(name for name in names if _NAME.fullmatch(name))


def label(root: Path, *name: str) -> str:
    """The name of the file `<root>/<name>.yaml` in messages."""
    return "/".join((root.name, *name)) + ".yaml"


def read(root: Path, *name: str) -> dict[str, Any]:
    """The mapping in `<root>/<name>.yaml`; an empty file is an empty mapping."""
    source = label(root, *name)
    try:
        text = (root.joinpath(*name[:-1]) / f"{name[-1]}.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"{source}: cannot be read: {reason}") from error
    try:
        values = deepcopy(_parsed(text))
    except BrokenYamlError as error:
        line = "" if error.line is None else f", line {error.line}"
        raise UserError(f"{source}{line}: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{source}: must be a mapping")
    return values
