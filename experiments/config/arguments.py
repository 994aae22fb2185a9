"""`key=value` on a command line: what it means, and how a value is written so. No torch.

A key whose value is text takes it as it was typed; every other value is YAML, and values that can
be read in several ways are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from experiments.config import yaml_files
from experiments.config.messages import COMMAND_LINE, fault, short
from experiments.config.schema import RunConfig
from experiments.errors import UserError
from experiments.settings import Section, holds_text

_KEY = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


def split_pairs(arguments: Iterable[str], example: str) -> dict[str, str]:
    """Key → text, in the order of the arguments; no key may be given twice."""
    pairs: dict[str, str] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise UserError(
                f"{short(argument)} ({COMMAND_LINE}): must be key=value, as in {example}"
            )
        if key in pairs:
            raise fault(key, COMMAND_LINE, "given twice")
        pairs[key] = text
    return pairs


def value_of(key: str, text: str, sections: Sequence[type[Section]] = (RunConfig,)) -> Any:
    """The value of `key=text`, for a key of one of the sections.

    Where only text fits it is `text` itself, ` #` and leading zeros included, except for `null`,
    the empty text and text that begins with a quote or a bracket: these are YAML, as is every
    other value. YAML that is broken, unclear, or has a comment is refused.
    """
    if _is_literal(key, text, sections):
        return text
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
    if isinstance(value, str) and _is_literal(key, value, sections):
        return f"{key}={value}"
    written = json.dumps(value, ensure_ascii=False)
    # YAML refuses some letters that JSON writes as they are, such as DEL, but reads their escapes.
    # Letters beyond U+FFFF have two escapes in JSON, which YAML takes for two letters.
    readable = (
        letter if letter.isprintable() or letter > "\uffff" else f"\\u{ord(letter):04x}"
        for letter in written
    )
    return f"{key}={''.join(readable)}"


def _is_literal(key: str, text: str, sections: Sequence[type[Section]]) -> bool:
    special = text in ("", "null") or text.startswith(("'", '"', "[", "{"))
    return not special and holds_text(key.split("."), sections)


def flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values inside a mapping; any other value as it is."""
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        for name, inner in value.items():
            yield from flat(f"{key}.{name}", inner)
    else:
        yield key, value


def refuse_blocks_with_keys_inside(keys: Iterable[str], source: str) -> None:
    """Raise `UserError` where both a mapping and a key inside it are given: which would win?"""
    known = set(keys)
    for key in sorted(known):
        for block in accumulate(key.split(".")[:-1], lambda above, name: f"{above}.{name}"):
            if block in known:
                text = f"given twice, by itself and inside {block}=…; write it at one place"
                raise fault(key, source, text)
