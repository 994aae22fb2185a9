"""What `key=value` on a command line means, and how a value is written so. No torch.

What was typed is what is used: a key that takes text has it as it was written, every other key has
its value as YAML, and what could be read in several ways is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from experiments.config import yaml_files
from experiments.config.messages import COMMAND_LINE, fault, short
from experiments.config.schema import RunConfig, Section, holds_text

_QUOTES_AND_BRACKETS = ("'", '"', "[", "{")


def value_of(key: str, text: str, sections: Sequence[type[Section]] = (RunConfig,)) -> Any:
    """The value that `key=text` gives to a key of one of the sections.

    Where only text fits it is `text` itself, ` #` and leading zeros and all, but for `null`, the
    empty text, and what begins with a quote or a bracket: these are YAML, as all is elsewhere.

    Raises:
        UserError: for YAML that is broken, unclear, or has a comment.
    """
    literal = text not in ("", "null") and not text.startswith(_QUOTES_AND_BRACKETS)
    if literal and holds_text(key.split("."), sections):
        return text
    return yaml_value(key, text)


def yaml_value(key: str, text: str) -> Any:
    """The value that `key=text` gives to a key whose value is YAML; raises as `value_of`."""
    try:
        value = yaml_files.parse(text)
    except yaml_files.BrokenYamlError as error:
        what = "" if error.unclear else f"{short(text)} is not YAML: "
        raise fault(key, COMMAND_LINE, f"{what}{error}") from error
    if yaml_files.has_comment(text):
        raise fault(key, COMMAND_LINE, f"{short(text)} has a comment, which a value cannot have")
    return value


def argument_of(key: str, value: Any, sections: Sequence[type[Section]] = (RunConfig,)) -> str:
    """`key=value` that `value_of` reads back as `value`."""
    if isinstance(value, str) and not value.startswith(_QUOTES_AND_BRACKETS):
        written = value_of(key, value, sections) if holds_text(key.split("."), sections) else None
        if written == value:
            return f"{key}={value}"
    written = json.dumps(value, ensure_ascii=False)
    # YAML reads JSON's escapes, but not all that JSON writes as it is: DEL and its like.
    readable = (c if c.isprintable() or c > _LAST_ESCAPED else _escape(c) for c in written)
    return f"{key}={''.join(readable)}"


_LAST_ESCAPED = "\uffff"
"""Letters beyond have two escapes in JSON, which YAML takes for two letters."""


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


def flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values inside a block; any other value as it is."""
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        for name, inner in value.items():
            yield from flat(f"{key}.{name}", inner)
    else:
        yield key, value


def refuse_blocks_with_keys_inside(keys: Iterable[str], source: str) -> None:
    """Raise `UserError` where both a block and a key inside it are given: which would win?"""
    known = set(keys)
    for key in sorted(known):
        parts = key.split(".")
        for end in range(1, len(parts)):
            block = ".".join(parts[:end])
            if block in known:
                text = f"given twice, by itself and inside {block}=…; write it at one place"
                raise fault(key, source, text)
