"""Labels for runs that no sweep planned: the optimizer's file, and what tells configs apart."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

# What makes no difference between two cells: where things lie, what is logged, and the seed.
_LEFT_OUT = ("seed", "choices", "data_root", "results_dir", "cache_dir", "device", "logger")
_LEFT_OUT_BELOW = ("trainer.workers", "trainer.checkpoint_every_steps", "task.download")

_LONGEST = 300

Config = Mapping[str, Any]


def distinct_labels(named: Sequence[tuple[str, Config]]) -> list[str]:
    """A label for each (name, config) of one row.

    It is the name, and behind it, where configs of one name differ in more than the seed, the
    settings that differ: `adam lr=0.01`. Those that not all of them have are no difference: they
    came with a later version of the code.
    """
    settings = [_flat(config) for _, config in named]
    of_name: dict[str, list[int]] = defaultdict(list)
    for i, (name, _) in enumerate(named):
        of_name[name].append(i)
    labels = [name for name, _ in named]
    for name, indices in of_name.items():
        differing = _differing([settings[i] for i in indices])
        for i in indices:
            words = [name, *(f"{_short(k)}={settings[i][k]}" for k in differing)]
            labels[i] = _bounded(" ".join(words))
    return labels


def _differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    shared = set.intersection(*(set(one) for one in settings))
    return sorted(key for key in shared if len({one[key] for one in settings}) > 1)


def _flat(config: Config) -> dict[str, str]:
    """`{"optimizer.lr": "0.01", …}` of all that can make a difference."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        elif prefix not in _LEFT_OUT_BELOW:
            flat[prefix] = value if isinstance(value, str) else json.dumps(value)

    walk("", {key: value for key, value in config.items() if key not in _LEFT_OUT})
    return flat


def _bounded(label: str) -> str:
    """As it is, unless no table or picture could hold it; different ones stay different."""
    if len(label) <= _LONGEST:
        return label
    return f"{label[:_LONGEST]}… {zlib.crc32(label.encode(errors='replace')):08x}"


def _short(key: str) -> str:
    return key.removeprefix("optimizer.")
